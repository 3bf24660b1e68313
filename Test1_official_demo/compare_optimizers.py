"""Train LeNet on a part of CIFAR-10 with five optimizers of torch.optim, each at the best of three learning rates.

python compare_optimizers.py        # writes compare_optimizers.png; CIFAR-10 is fetched to data/ if it is not there

Every rate is tried with the first seed. The one with the best test accuracy is trained again with the other seeds. With
the same seed all optimizers start from the same weights, and see the images in the same order.
"""

import argparse
from pathlib import Path

import torch
from torch import optim
from torch.nn import functional as F

from cifar10 import open_cifar10
from helpers import HERE, run
from model import LeNet
from plots import new_figure

OPTIMIZERS = {  # name: the optimizer, its options, three learning rates, and the colour and the style of its line
    "SGD": (optim.SGD, {}, (0.06, 0.2, 0.6), "#000000", "-"),
    "momentum": (optim.SGD, {"momentum": 0.9}, (0.002, 0.006, 0.02), "#d55e00", "--"),
    "Adagrad": (optim.Adagrad, {}, (0.003, 0.01, 0.03), "#0072b2", "-."),
    "RMSProp": (optim.RMSprop, {}, (0.0003, 0.001, 0.003), "#009e73", (0, (5, 1, 1, 1, 1, 1))),
    "Adam": (optim.Adam, {}, (0.001, 0.003, 0.01), "#cc79a7", ":"),
}
BATCH_SIZE = 36


def load_images(
    root: Path, train: bool, count: int, device: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """The first `count` images, [count, 3, 32, 32] in -1..1, and their labels, [count]."""
    data = open_cifar10(root, train=train, download=True)
    images = torch.from_numpy(data.data[:count]).to(device).permute(0, 3, 1, 2) / 127.5 - 1
    return images, torch.tensor(data.targets[:count], device=device)


def train(
    name: str, lr: float, seed: int, epochs: int, images: torch.Tensor, labels: torch.Tensor
) -> tuple:
    """A net trained from the start that belongs to the seed, and its loss in each step."""
    torch.manual_seed(seed)
    net = LeNet().to(images.device, memory_format=torch.channels_last)
    make_optimizer, options, *_ = OPTIMIZERS[name]
    optimizer = make_optimizer(net.parameters(), lr=lr, **options)
    losses = []
    for _ in range(epochs):
        for index in torch.randperm(len(images)).to(images.device).split(BATCH_SIZE):
            optimizer.zero_grad()
            loss = F.cross_entropy(net(images[index]), labels[index])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return net, losses


def accuracy(net: LeNet, images: torch.Tensor, labels: torch.Tensor) -> float:
    """The share of the images whose class the net predicts."""
    with torch.no_grad():
        predicted = torch.cat([net(batch).argmax(dim=1) for batch in images.split(200)])
    return (predicted == labels).float().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data-path",
        type=Path,
        default=HERE / "data",
        help="root of CIFAR-10 (default: %(default)s)",
    )
    for name, default, text in (
        ("--images", 8000, "number of training images"),
        ("--epochs", 4, "number of passes over them"),
        ("--seeds", 3, "number of runs at the best rate"),
    ):
        parser.add_argument(name, type=int, default=default, help=f"{text} (default: %(default)s)")
    parser.add_argument(
        "--save", type=Path, default=HERE / "compare_optimizers.png", help="default: %(default)s"
    )
    args = parser.parse_args()
    if min(args.images, args.epochs, args.seeds) < 1:
        parser.error("--images, --epochs and --seeds must be at least 1")

    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "cpu"
    train_set = load_images(args.data_path, True, args.images, device)
    test_set = load_images(args.data_path, False, 10000, device)
    print(
        f"{len(train_set[0])} images for training, {len(test_set[0])} for testing, {args.epochs} epochs"
    )

    with new_figure(args.save, 10, 4.4) as figure:
        left, right = figure.subplots(1, 2, width_ratios=[1.6, 1])
        for place, (name, (_, _, rates, color, style)) in enumerate(OPTIMIZERS.items()):
            tried = {}  # learning rate: what comes of the first seed, (accuracy, losses)
            for lr in rates:
                net, losses = train(name, lr, 0, args.epochs, *train_set)
                tried[lr] = accuracy(net, *test_set), losses
            best = max(rates, key=lambda lr: tried[lr][0])
            runs = [tried[best]]
            for seed in range(1, args.seeds):
                net, losses = train(name, best, seed, args.epochs, *train_set)
                runs.append((accuracy(net, *test_set), losses))
            accuracies = torch.tensor([run[0] for run in runs])
            print(
                f"{name:8} " + ", ".join(f"lr {lr}: {tried[lr][0]:.3f}" for lr in rates), end="; "
            )
            print(
                f"lr {best} with {args.seeds} seeds: " + ", ".join(f"{a:.3f}" for a in accuracies),
                end="; ",
            )
            print(
                f"mean {accuracies.mean():.3f}, lowest to highest {accuracies.min():.3f} to {accuracies.max():.3f}"
            )

            window = min(40, len(runs[0][1]))  # single steps are too noisy to be drawn
            means = (
                torch.tensor([run[1] for run in runs]).unfold(1, window, window).mean(dim=(0, 2))
            )
            steps = [window * (i + 0.5) for i in range(len(means))]
            left.plot(
                steps, means, color=color, linestyle=style, linewidth=2, label=f"{name}, lr {best}"
            )
            right.plot(accuracies, [place] * len(runs), "o", color=color, markersize=8, alpha=0.6)
            right.plot(accuracies.mean(), place, "|", color=color, markersize=28, markeredgewidth=2)
        left.set(title=f"training loss, mean of {args.seeds} runs", xlabel="step")
        left.legend()
        right.set(title="test accuracy: runs and their mean", ylim=(len(OPTIMIZERS) - 0.5, -0.5))
        right.set_yticks(range(len(OPTIMIZERS)), OPTIMIZERS)
        for axes in (left, right):
            axes.grid(alpha=0.3)


if __name__ == "__main__":
    run(main)
