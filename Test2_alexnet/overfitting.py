"""Measure overfitting, and what dropout does about it, with a small net on 2,000 CIFAR-10 pictures.

python overfitting.py --data-path ../Test1_official_demo/data       # writes overfitting.png

Six runs of AlexNet would take too long. The net is Test1's LeNet, and its dropout stands where
AlexNet has it, before the first two linear layers. With the same seed both nets start from the same
weights and see the images in the same order.
"""

import argparse
from pathlib import Path

import torch
from torch import nn, optim
from torchvision import datasets

from helpers import HERE, UserError, command, run
from plots import new_figure

BATCH_SIZE, LEARNING_RATE = 36, 0.001  # as in Test1
DROPOUT = {"without dropout": 0.0, "with dropout": 0.5}  # the probability in each net
COLORS = {"without dropout": "#d55e00", "with dropout": "#0072b2"}
COLUMNS = ("training loss", "training accuracy", "test loss", "test accuracy")  # as measured


def make_net(p: float) -> nn.Sequential:
    """LeNet for images [N, 3, 32, 32], with dropout of probability p."""
    return nn.Sequential(
        nn.Conv2d(3, 16, kernel_size=5),
        nn.ReLU(),
        nn.MaxPool2d(kernel_size=2),  # [N, 16, 14, 14]
        nn.Conv2d(16, 32, kernel_size=5),
        nn.ReLU(),
        nn.MaxPool2d(kernel_size=2),  # [N, 32, 5, 5]
        nn.Flatten(),
        nn.Dropout(p),
        nn.Linear(32 * 5 * 5, 120),
        nn.ReLU(),
        nn.Dropout(p),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )


def load_images(
    root: Path, train: bool, count: int, device: torch.device | str
) -> tuple[torch.Tensor, torch.Tensor]:
    """The first `count` images, [count, 3, 32, 32] in -1..1, and their labels, [count].

    Raises:
        UserError: CIFAR-10 is not in `root`.
    """
    try:
        data = datasets.CIFAR10(root, train=train)
    except RuntimeError:
        train_script = HERE.parent / "Test1_official_demo" / "train.py"
        raise UserError(
            f"no CIFAR-10 in {root}: the first lesson's training fetches it: "
            f"{command(train_script)}"
        ) from None
    images = torch.from_numpy(data.data[:count]).to(device)  # bytes [count, 32, 32, 3]
    images = images.permute(0, 3, 1, 2) / 127.5 - 1
    labels = torch.tensor(data.targets[:count], device=device)
    return images, labels


def measure(net: nn.Sequential, images: torch.Tensor, labels: torch.Tensor) -> tuple[float, float]:
    """Mean loss and accuracy, without dropout."""
    net.eval()
    with torch.no_grad():
        outputs = torch.cat([net(batch) for batch in images.split(200)])
    loss = nn.functional.cross_entropy(outputs, labels).item()
    accuracy = (outputs.argmax(dim=1) == labels).float().mean().item()
    return loss, accuracy


def train(p: float, seed: int, epochs: int, train_set: tuple, test_set: tuple) -> list[list[float]]:
    """Train a net with dropout of probability p. Returns what COLUMNS name, after each epoch."""
    images, labels = train_set
    torch.manual_seed(seed)
    net = make_net(p).to(images.device)
    loss_function = nn.CrossEntropyLoss()
    optimizer = optim.Adam(net.parameters(), lr=LEARNING_RATE)
    # the order has random numbers of its own, since dropout draws some too
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for _ in range(epochs):
        net.train()
        order = torch.randperm(len(images), generator=generator).to(images.device)
        for index in order.split(BATCH_SIZE):
            optimizer.zero_grad()
            loss = loss_function(net(images[index]), labels[index])
            loss.backward()
            optimizer.step()
        train_loss, train_accuracy = measure(net, *train_set)
        test_loss, test_accuracy = measure(net, *test_set)
        rows.append([train_loss, train_accuracy, test_loss, test_accuracy])
    return rows


def print_results(title: str, runs: torch.Tensor) -> None:
    """Print how the runs of a net, [seeds, epochs, 4], ended, and when its test loss was lowest."""
    epochs = runs.shape[1]
    for column, name in enumerate(COLUMNS):
        last = runs[:, -1, column]  # [seeds]
        each = ", ".join(f"{value:.3f}" for value in last)
        print(f"{title}, {name} after {epochs} epochs: mean {last.mean():.3f} ({each})")
    test_loss = runs[:, :, COLUMNS.index("test loss")].mean(dim=0)  # [epochs]
    best = test_loss.argmin() + 1
    print(f"{title}: the test loss is lowest in epoch {best}, {test_loss.min():.3f}")


def draw(path: Path, results: dict[str, torch.Tensor]) -> None:
    """Draw the mean of each net's runs, [seeds, epochs, 4], and the lowest and the highest."""
    with new_figure(path, 10, 4.4) as figure:
        accuracy_axes, loss_axes = figure.subplots(1, 2)
        for title, runs in results.items():
            color = COLORS[title]
            epochs = range(1, runs.shape[1] + 1)
            for column, name in enumerate(COLUMNS):
                part, what = name.split()
                axes = loss_axes if what == "loss" else accuracy_axes
                style = "-" if part == "training" else "--"
                values = runs[:, :, column]  # [seeds, epochs]
                mean, low, high = values.mean(dim=0), values.amin(dim=0), values.amax(dim=0)
                label = f"{part}, {title}"
                axes.plot(epochs, mean, style, color=color, linewidth=2, label=label)
                axes.fill_between(epochs, low, high, color=color, alpha=0.2)
        accuracy_axes.set(title="accuracy")
        loss_axes.set(title="loss")
        for axes in (accuracy_axes, loss_axes):
            axes.set(xlabel="epoch", ylim=(0, None))
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.grid(alpha=0.3)
            axes.legend()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    data_path = HERE.parent / "Test1_official_demo" / "data"
    if not data_path.exists():
        data_path = HERE / "data"
    parser.add_argument(
        "--data-path", type=Path, default=data_path, help="root of CIFAR-10 (default: %(default)s)"
    )
    parser.add_argument(
        "--images",
        type=int,
        default=2000,
        help="number of training images, and of test images (default: %(default)s)",
    )
    parser.add_argument(
        "--epochs", type=int, default=40, help="number of passes over them (default: %(default)s)"
    )
    parser.add_argument(
        "--seeds", type=int, default=3, help="number of runs of each net (default: %(default)s)"
    )
    parser.add_argument(
        "--save", type=Path, default=HERE / "overfitting.png", help="file (default: %(default)s)"
    )
    args = parser.parse_args()
    if min(args.images, args.epochs, args.seeds) < 1:
        parser.error("--images, --epochs and --seeds must be at least 1")

    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "cpu"
    train_set = load_images(args.data_path, True, args.images, device)
    test_set = load_images(args.data_path, False, args.images, device)
    print(f"{len(train_set[0])} images for training, {len(test_set[0])} for testing")

    results = {}
    for title, p in DROPOUT.items():
        runs = [train(p, seed, args.epochs, train_set, test_set) for seed in range(args.seeds)]
        results[title] = torch.tensor(runs)  # [seeds, epochs, 4]
        print_results(title, results[title])
    draw(args.save, results)


if __name__ == "__main__":
    run(main)
