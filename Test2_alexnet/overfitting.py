"""Measure over-fitting, and what dropout does about it: a small net on 2,000 pictures of CIFAR-10, with and without.

python overfitting.py --data-path ../Test1_official_demo/data       # writes overfitting.png

Six runs of AlexNet would take too long. The net is Test1's LeNet, and its dropout stands where AlexNet has it, before
the first two linear layers. With the same seed both nets start from the same weights, and see the images in the same
order.
"""

import argparse
from pathlib import Path

import torch
from torch import nn, optim
from torchvision import datasets

from helpers import HERE, UserError, run
from plots import new_figure

BATCH_SIZE, LEARNING_RATE = 36, 0.001  # as in Test1


def make_net(p: float) -> nn.Sequential:
    """LeNet for images [N, 3, 32, 32], with dropout of probability p."""
    features = [
        nn.Conv2d(3, 16, kernel_size=5),
        nn.ReLU(),
        nn.MaxPool2d(kernel_size=2),
    ]  # [N, 16, 14, 14]
    features += [
        nn.Conv2d(16, 32, kernel_size=5),
        nn.ReLU(),
        nn.MaxPool2d(kernel_size=2),
    ]  # [N, 32, 5, 5]
    classifier = [nn.Dropout(p), nn.Linear(32 * 5 * 5, 120), nn.ReLU()]
    classifier += [nn.Dropout(p), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)]
    return nn.Sequential(*features, nn.Flatten(), *classifier)


def measure(net: nn.Sequential, images: torch.Tensor, labels: torch.Tensor) -> tuple[float, float]:
    """Mean loss and accuracy, without dropout."""
    net.eval()
    with torch.no_grad():
        outputs = torch.cat([net(batch) for batch in images.split(200)])
    return nn.functional.cross_entropy(outputs, labels).item(), (
        outputs.argmax(dim=1) == labels
    ).float().mean().item()


def train(p: float, seed: int, epochs: int, train_set: tuple, test_set: tuple) -> list[list[float]]:
    """Loss and accuracy on the training images, then on the test images, after each epoch: [epochs, 4]."""
    images, labels = train_set
    torch.manual_seed(seed)
    net = make_net(p).to(images.device, memory_format=torch.channels_last)
    loss_function = nn.CrossEntropyLoss()
    optimizer = optim.Adam(net.parameters(), lr=LEARNING_RATE)
    order = torch.Generator().manual_seed(seed)  # of its own: dropout draws random numbers too
    rows = []
    for _ in range(epochs):
        net.train()
        for index in (
            torch.randperm(len(images), generator=order).to(images.device).split(BATCH_SIZE)
        ):
            optimizer.zero_grad()
            loss = loss_function(net(images[index]), labels[index])
            loss.backward()
            optimizer.step()
        rows.append([*measure(net, *train_set), *measure(net, *test_set)])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    data_path = HERE.parent / "Test1_official_demo" / "data"
    data_path = data_path if data_path.exists() else HERE / "data"
    parser.add_argument(
        "--data-path", type=Path, default=data_path, help="root of CIFAR-10 (default: %(default)s)"
    )
    for name, default, text in (
        ("--images", 2000, "number of training images, and of test images"),
        ("--epochs", 40, "number of passes over them"),
        ("--seeds", 3, "number of runs of each net"),
    ):
        parser.add_argument(name, type=int, default=default, help=f"{text} (default: %(default)s)")
    parser.add_argument(
        "--save", type=Path, default=HERE / "overfitting.png", help="file (default: %(default)s)"
    )
    args = parser.parse_args()
    if min(args.images, args.epochs, args.seeds) < 1:
        parser.error("--images, --epochs and --seeds must be at least 1")

    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "cpu"
    sets = []
    for part in (True, False):
        try:
            data = datasets.CIFAR10(args.data_path, train=part)
        except RuntimeError:
            raise UserError(
                f"no CIFAR-10 in {args.data_path}: train.py of Test1_official_demo fetches it"
            ) from None
        images = (
            torch.from_numpy(data.data[: args.images]).to(device).permute(0, 3, 1, 2) / 127.5 - 1
        )
        sets.append((images, torch.tensor(data.targets[: args.images], device=device)))
    print(f"{len(sets[0][0])} images for training, {len(sets[1][0])} for testing")

    with new_figure(args.save, 10, 4.4) as figure:
        accuracy_axes, loss_axes = figure.subplots(1, 2)
        for p, title, color in (
            (0.0, "without dropout", "#d55e00"),
            (0.5, "with dropout", "#0072b2"),
        ):
            rows = [train(p, seed, args.epochs, *sets) for seed in range(args.seeds)]
            runs, epochs = torch.tensor(rows), range(1, args.epochs + 1)  # [seeds, epochs, 4]
            lines = [
                (axes, part) for part in ("training", "test") for axes in (loss_axes, accuracy_axes)
            ]
            for values, (axes, part) in zip(runs.unbind(dim=2), lines, strict=True):
                style, what = (
                    {"training": "-", "test": "--"}[part],
                    "loss" if axes is loss_axes else "accuracy",
                )
                axes.plot(
                    epochs,
                    values.mean(dim=0),
                    style,
                    color=color,
                    linewidth=2,
                    label=f"{part}, {title}",
                )
                axes.fill_between(
                    epochs, values.amin(dim=0), values.amax(dim=0), color=color, alpha=0.2
                )
                last = ", ".join(f"{value:.3f}" for value in values[:, -1])
                print(
                    f"{title}, {part} {what} after {args.epochs} epochs: mean {values[:, -1].mean():.3f} ({last})"
                )
            test_loss = runs[:, :, 2].mean(dim=0)
            print(
                f"{title}: the test loss is lowest in epoch {test_loss.argmin() + 1}, {test_loss.min():.3f}"
            )
        for axes, title in ((accuracy_axes, "accuracy"), (loss_axes, "loss")):
            axes.set(title=title, xlabel="epoch", ylim=(0, None))
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.grid(alpha=0.3)
            axes.legend()


if __name__ == "__main__":
    run(main)
