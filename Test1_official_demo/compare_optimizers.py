"""Train LeNet on a part of CIFAR-10 with five optimizers, each at the best of three learning rates.

python compare_optimizers.py        # writes compare_optimizers.png

CIFAR-10 is fetched to data/ if it is not there. Every learning rate is tried with the first seed.
The one with the best test accuracy is run again with the other seeds. With the same seed all
optimizers start from the same weights and see the images in the same order.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import nn, optim
from torchvision import datasets

from cifar10 import fetch_cifar10
from helpers import HERE, run
from model import LeNet
from plots import new_figure

LEARNING_RATES = {
    "SGD": (0.06, 0.2, 0.6),
    "momentum": (0.002, 0.006, 0.02),
    "Adagrad": (0.003, 0.01, 0.03),
    "RMSProp": (0.0003, 0.001, 0.003),
    "Adam": (0.001, 0.003, 0.01),
}
COLORS = {
    "SGD": "#000000",
    "momentum": "#d55e00",
    "Adagrad": "#0072b2",
    "RMSProp": "#009e73",
    "Adam": "#cc79a7",
}
LINE_STYLES = {
    "SGD": "-",
    "momentum": "--",
    "Adagrad": "-.",
    "RMSProp": (0, (5, 1, 1, 1, 1, 1)),  # a dash and two dots
    "Adam": ":",
}
BATCH_SIZE = 36


def make_optimizer(name: str, parameters: Iterable[nn.Parameter], lr: float) -> optim.Optimizer:
    """The optimizer of that name. Apart from momentum, all options are PyTorch's defaults."""
    if name == "SGD":
        return optim.SGD(parameters, lr=lr)
    if name == "momentum":
        return optim.SGD(parameters, lr=lr, momentum=0.9)
    if name == "Adagrad":
        return optim.Adagrad(parameters, lr=lr)
    if name == "RMSProp":
        return optim.RMSprop(parameters, lr=lr)
    return optim.Adam(parameters, lr=lr)


def load_images(
    root: Path, train: bool, count: int, device: torch.device | str
) -> tuple[torch.Tensor, torch.Tensor]:
    """The first `count` images, [count, 3, 32, 32] in -1..1, and their labels, [count]."""
    data = datasets.CIFAR10(root, train=train)
    images = torch.from_numpy(data.data[:count]).to(device)  # bytes [count, 32, 32, 3]
    images = images.permute(0, 3, 1, 2) / 127.5 - 1
    labels = torch.tensor(data.targets[:count], device=device)
    return images, labels


def train(
    name: str, lr: float, seed: int, epochs: int, images: torch.Tensor, labels: torch.Tensor
) -> tuple[LeNet, list[float]]:
    """Train a net from the seed's first weights. Returns the net and the loss of each step."""
    torch.manual_seed(seed)
    net = LeNet().to(images.device)
    loss_function = nn.CrossEntropyLoss()
    optimizer = make_optimizer(name, net.parameters(), lr)
    losses = []
    for _ in range(epochs):
        order = torch.randperm(len(images)).to(images.device)
        for index in order.split(BATCH_SIZE):
            optimizer.zero_grad()
            loss = loss_function(net(images[index]), labels[index])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return net, losses


def accuracy(net: LeNet, images: torch.Tensor, labels: torch.Tensor) -> float:
    """The share of the images whose class the net predicts."""
    with torch.no_grad():
        predicted = torch.cat([net(batch).argmax(dim=1) for batch in images.split(200)])
    return (predicted == labels).float().mean().item()


def draw(
    path: Path,
    best_rates: dict[str, float],
    losses: dict[str, torch.Tensor],
    accuracies: dict[str, torch.Tensor],
) -> None:
    """Draw each optimizer's training losses, [seeds, steps], and test accuracies, [seeds]."""
    with new_figure(path, 10, 4.4) as figure:
        left, right = figure.subplots(1, 2, width_ratios=[1.6, 1])
        for row, name in enumerate(best_rates):
            color = COLORS[name]
            seeds, steps = losses[name].shape
            window = min(40, steps)  # single steps are too noisy to be drawn
            windows = losses[name].unfold(1, window, window)  # [seeds, windows, window]
            means = windows.mean(dim=(0, 2))
            middles = [window * (i + 0.5) for i in range(len(means))]
            label = f"{name}, lr {best_rates[name]}"
            style = LINE_STYLES[name]
            left.plot(middles, means, color=color, linestyle=style, linewidth=2, label=label)

            mean = accuracies[name].mean()
            right.plot(accuracies[name], [row] * seeds, "o", color=color, markersize=8, alpha=0.6)
            right.plot(mean, row, "|", color=color, markersize=28, markeredgewidth=2)
        left.set(title=f"training loss, mean of {seeds} runs", xlabel="step")
        left.legend()
        # the first optimizer on top
        right.set(title="test accuracy: runs and their mean", ylim=(len(best_rates) - 0.5, -0.5))
        right.set_yticks(range(len(best_rates)), list(best_rates))
        for axes in (left, right):
            axes.grid(alpha=0.3)


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
    parser.add_argument(
        "--images", type=int, default=8000, help="number of training images (default: %(default)s)"
    )
    parser.add_argument(
        "--epochs", type=int, default=4, help="number of passes over them (default: %(default)s)"
    )
    parser.add_argument(
        "--seeds",
        type=int,
        default=3,
        help="number of runs at the best rate (default: %(default)s)",
    )
    parser.add_argument(
        "--save", type=Path, default=HERE / "compare_optimizers.png", help="default: %(default)s"
    )
    args = parser.parse_args()
    if min(args.images, args.epochs, args.seeds) < 1:
        parser.error("--images, --epochs and --seeds must be at least 1")

    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "cpu"
    fetch_cifar10(args.data_path)
    train_images, train_labels = load_images(args.data_path, True, args.images, device)
    test_images, test_labels = load_images(args.data_path, False, 10000, device)
    print(
        f"{len(train_images)} images for training, {len(test_images)} for testing, "
        f"{args.epochs} epochs"
    )

    best_rates, losses, accuracies = {}, {}, {}  # of each optimizer
    for name, rates in LEARNING_RATES.items():
        # the first seed, with every learning rate
        best_acc = -1.0  # any accuracy is better than -1
        tried = []
        for lr in rates:
            net, run_losses = train(name, lr, 0, args.epochs, train_images, train_labels)
            acc = accuracy(net, test_images, test_labels)
            tried.append(f"lr {lr}: {acc:.3f}")
            if acc > best_acc:
                best_acc = acc
                best_lr = lr
                best_losses = run_losses

        # the other seeds, with the best one
        all_losses = [best_losses]
        all_accuracies = [best_acc]
        for seed in range(1, args.seeds):
            net, run_losses = train(name, best_lr, seed, args.epochs, train_images, train_labels)
            all_losses.append(run_losses)
            all_accuracies.append(accuracy(net, test_images, test_labels))

        best_rates[name] = best_lr
        losses[name] = torch.tensor(all_losses)  # [seeds, steps]
        accuracies[name] = torch.tensor(all_accuracies)  # [seeds]
        of_seeds = ", ".join(f"{acc:.3f}" for acc in all_accuracies)
        mean = accuracies[name].mean()
        print(
            f"{name:8} {', '.join(tried)}; lr {best_lr} with {args.seeds} seeds: {of_seeds}; "
            f"mean {mean:.3f}, lowest to highest {min(all_accuracies):.3f} "
            f"to {max(all_accuracies):.3f}"
        )

    draw(args.save, best_rates, losses, accuracies)


if __name__ == "__main__":
    run(main)
