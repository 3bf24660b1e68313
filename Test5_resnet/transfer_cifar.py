"""Measure transfer learning, and mismatched pre-processing, with a small ResNet on CIFAR-10.

python transfer_cifar.py --data-path ../Test1_official_demo/data        # writes transfer_cifar.png

A ResNet of 20 layers learns eight of the ten classes: all but cat and horse. On test images of the
eight it is tried with the pre-processing that it was trained with, and with three others. Then it
learns cat against horse from a few images: from scratch, from the trained weights in all layers,
and from the trained weights in the last layer alone.
"""

from pathlib import Path

import torch
from torch import nn, optim
from torchvision import datasets

from degradation import make_net, measurement_parser, open_cifar10
from helpers import run
from model import BasicBlock
from plots import new_figure

CAT, HORSE = 3, 7
RGB, BGR = (0, 1, 2), (2, 1, 0)  # orders of the channels
HALF = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5), "order": RGB}
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225), "order": RGB}
NONE = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "order": RGB}
SWAPPED = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5), "order": BGR}
PREPROCESSING = {
    "as in training (0.5 / 0.5)": HALF,
    "ImageNet's mean and deviation": IMAGENET,
    "none (values from 0 to 1)": NONE,
    "red and blue swapped": SWAPPED,
}
WAYS = ("from scratch", "all layers", "last layer alone")
COLORS = {"from scratch": "#0072b2", "all layers": "#d55e00", "last layer alone": "#009e73"}
COUNTS = (10, 50)  # images of each of the two classes
Images = tuple[torch.Tensor, torch.Tensor]  # bytes [N, 3, 32, 32], labels [N]


def normalize(images: torch.Tensor, mean: tuple, std: tuple, order: tuple) -> torch.Tensor:
    """Bytes [N, 3, H, W] to numbers, as ToTensor() and Normalize(mean, std) do.

    `order` is the order in which the channels are read.
    """
    mean = torch.tensor(mean, device=images.device).view(3, 1, 1)
    std = torch.tensor(std, device=images.device).view(3, 1, 1)
    return (images[:, order].float() / 255 - mean) / std


def train(net: nn.Sequential, data: Images, batch_size: int, steps: int, lr: float) -> None:
    """Train with Adam and a learning rate that falls from `lr` to 0 along a cosine.

    What is frozen stays as it is.
    """
    images, labels = data
    net.to(images.device)
    net.train()
    if not net[0].weight.requires_grad:
        net.eval()  # all but the last layer is frozen: batch norm keeps its statistics
    loss_function = nn.CrossEntropyLoss()
    params = [param for param in net.parameters() if param.requires_grad]
    optimizer = optim.Adam(params, lr=lr)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    batches_per_pass = max(1, len(images) // batch_size)  # whole ones, unless there is none
    for step in range(steps):
        number = step % batches_per_pass
        if number == 0:  # another order in each pass
            order = torch.randperm(len(images)).to(images.device)
        index = order[number * batch_size : (number + 1) * batch_size]
        optimizer.zero_grad()
        loss = loss_function(net(normalize(images[index], **HALF)), labels[index])
        loss.backward()
        optimizer.step()
        scheduler.step()


def accuracy(net: nn.Sequential, data: Images, preprocessing: dict) -> float:
    """The share of the images whose class the net predicts; `preprocessing` goes to normalize."""
    images, labels = data
    net.eval()
    predicted = []
    with torch.no_grad():
        for batch in images.split(250):
            outputs = net(normalize(batch, **preprocessing))
            predicted.append(outputs.argmax(dim=1))
    return (torch.cat(predicted) == labels).float().mean().item()


def choose(
    data: datasets.CIFAR10, classes: list[int], count: int, device: torch.device | str
) -> Images:
    """The first `count` images of each of the classes, labelled with their places in `classes`."""
    all_images = torch.from_numpy(data.data).permute(0, 3, 1, 2)  # [50000, 3, 32, 32]
    all_labels = torch.tensor(data.targets)
    images, labels = [], []
    for number, label in enumerate(classes):
        index = (all_labels == label).nonzero().flatten()[:count]
        images.append(all_images[index])
        labels.append(torch.full_like(index, number))
    return torch.cat(images).to(device), torch.cat(labels).to(device)


def make_net_of_eight() -> nn.Sequential:
    """A ResNet of 20 layers for eight classes."""
    net = make_net(BasicBlock, 20)
    net[-1] = nn.Linear(64, 8)
    return net


def transfer(way: str, trained: dict, data: Images) -> nn.Sequential:
    """A net for two classes, trained in 100 steps of 20 images."""
    net = make_net_of_eight()
    if way != "from scratch":
        net.load_state_dict(trained)
    lr = 0.001
    if way == "last layer alone":
        lr = 0.01
        for param in net.parameters():
            param.requires_grad = False
    net[-1] = nn.Linear(64, 2)  # a new layer, which is not frozen
    train(net, data, batch_size=20, steps=100, lr=lr)
    return net


def mean_and_spread(runs: list[float]) -> tuple[float, list[list[float]]]:
    """The mean, and how far the lowest and the highest run are from it, as matplotlib's errors."""
    mean = sum(runs) / len(runs)
    return mean, [[mean - min(runs)], [max(runs) - mean]]


def draw(
    path: Path,
    of_eight: dict[str, list[float]],
    of_two: dict[tuple[int, str], list[float]],
) -> None:
    """Draw the means as bars, with the lowest and the highest run.

    Args:
        path: the file to write
        of_eight: accuracies on the eight classes, by pre-processing
        of_two: accuracies on cat and horse, by images of each class and way
    """
    with new_figure(path, 9.5, 4.2) as figure:
        left, right = figure.subplots(1, 2, width_ratios=[1.1, 1])
        for i, count in enumerate(COUNTS):
            for j, way in enumerate(WAYS):
                mean, spread = mean_and_spread(of_two[count, way])
                x = 4 * i + j
                label = way if i == 0 else None  # each once in the legend
                left.bar(x, mean, yerr=spread, color=COLORS[way], capsize=3, label=label)
                left.text(x, mean / 2, f"{mean:.3f}", ha="center", color="white")
        left.set(title="cat against horse", ylabel="test accuracy", ylim=(0, 1))
        left.set_xticks([1, 5], [f"{count} images of each class" for count in COUNTS])
        left.axhline(0.5, color="0.4", linewidth=1, linestyle="--", label="by chance")
        left.legend(loc="upper left", ncols=2, fontsize=8)

        for i, (name, runs) in enumerate(of_eight.items()):
            mean, spread = mean_and_spread(runs)
            right.barh(-i, mean, height=0.4, xerr=spread, color="#0072b2", capsize=3)
            right.text(0.01, 0.28 - i, f"{name}: {mean:.3f}")
        right.set(title="eight classes, pre-processing in testing", xlabel="test accuracy")
        right.set(xlim=(0, 1), ylim=(-3.4, 0.6), yticks=[])


def main() -> None:
    args = measurement_parser(
        __doc__,
        images=1000,
        images_help="training images of each of the eight classes",
        epochs=8,
        figure="transfer_cifar.png",
    ).parse_args()
    train_set = open_cifar10(args.data_path, train=True)
    test_set = open_cifar10(args.data_path, train=False)
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "cpu"
    eight = [label for label in range(10) if label not in (CAT, HORSE)]
    train_eight = choose(train_set, eight, args.images, device)
    test_eight = choose(test_set, eight, 1000, device)
    test_two = choose(test_set, [CAT, HORSE], 1000, device)

    # what was tried: its accuracy with each seed
    of_eight = {name: [] for name in PREPROCESSING}
    of_two = {(count, way): [] for count in COUNTS for way in WAYS}
    for seed in range(args.seeds):
        torch.manual_seed(seed)
        net = make_net_of_eight()
        steps = args.epochs * (len(train_eight[0]) // 64)
        train(net, train_eight, batch_size=64, steps=steps, lr=0.003)
        for name, preprocessing in PREPROCESSING.items():
            of_eight[name].append(accuracy(net, test_eight, preprocessing))
        for count in COUNTS:
            few = choose(train_set, [CAT, HORSE], count, device)
            for way in WAYS:
                net_of_two = transfer(way, net.state_dict(), few)
                of_two[count, way].append(accuracy(net_of_two, test_two, HALF))
        runs = [*of_eight.values(), *of_two.values()]
        print(f"seed {seed}: " + ", ".join(f"{accuracies[-1]:.3f}" for accuracies in runs))

    results = dict(of_eight)
    for (count, way), runs in of_two.items():
        results[f"{count} images of each class, {way}"] = runs
    for what, runs in results.items():
        mean = sum(runs) / len(runs)
        print(f"{what}: {mean:.3f} ({min(runs):.3f} to {max(runs):.3f})")
    draw(args.save, of_eight, of_two)


if __name__ == "__main__":
    run(main)
