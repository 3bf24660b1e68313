"""Measure transfer learning, and pre-processing that does not match, with a small ResNet on CIFAR-10.

python transfer_cifar.py --data-path ../Test1_official_demo/data        # writes transfer_cifar.png

A ResNet of 20 layers learns eight of the ten classes: all but cat and horse. On test images of the eight it is tried
with the pre-processing that it was trained with, and with three others. Then it learns cat against horse from a few
images: from scratch, from the trained weights in all layers, and from the trained weights in the last layer alone.
"""

from pathlib import Path

import torch
from torch import nn, optim
from torch.nn import functional as F
from torchvision import datasets

from degradation import make_net, open_cifar10, read_options
from helpers import run
from model import BasicBlock
from plots import new_figure

CAT, HORSE = 3, 7
HALF = (
    (0.5, 0.5, 0.5),
    (0.5, 0.5, 0.5),
    (0, 1, 2),
)  # mean and standard deviation, and the order of the channels
PREPROCESSING = {
    "as in training (0.5 / 0.5)": HALF,
    "ImageNet's mean and deviation": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), (0, 1, 2)),
    "none (values from 0 to 1)": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (0, 1, 2)),
    "red and blue swapped": (*HALF[:2], (2, 1, 0)),
}
WAYS = {"from scratch": "#0072b2", "all layers": "#d55e00", "last layer alone": "#009e73"}
COUNTS = (10, 50)  # images of each of the two classes
Images = tuple[torch.Tensor, torch.Tensor]  # bytes [N, 3, 32, 32], labels [N]


def normalize(images: torch.Tensor, mean: tuple, std: tuple, order: tuple) -> torch.Tensor:
    """Bytes [N, 3, H, W] to numbers, as ToTensor() and Normalize(mean, std) do."""
    mean, std = (torch.tensor(values, device=images.device).view(3, 1, 1) for values in (mean, std))
    return (images[:, order].float() / 255 - mean) / std


def train(net: nn.Sequential, data: Images, batch_size: int, steps: int, lr: float) -> None:
    """Train with Adam and a learning rate that falls from `lr` to 0 along a cosine. What is frozen stays as it is."""
    images, labels = data
    net.to(images.device, memory_format=torch.channels_last)
    net.train(net[0].weight.requires_grad)  # frozen, batch norm keeps its statistics
    optimizer = optim.Adam([param for param in net.parameters() if param.requires_grad], lr=lr)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    batches: list[torch.Tensor] = []
    for _ in range(steps):
        if (
            not batches
        ):  # another order in each pass; what is left over of a whole batch waits for the next pass
            order = torch.randperm(len(images)).to(images.device)
            batches = list(order.split(batch_size)[: max(1, len(images) // batch_size)])
        index = batches.pop(0)
        optimizer.zero_grad()
        loss = F.cross_entropy(net(normalize(images[index], *HALF)), labels[index])
        loss.backward()
        optimizer.step()
        scheduler.step()


def accuracy(net: nn.Sequential, data: Images, values: tuple = HALF) -> float:
    """The share of the images whose class the net predicts; `values` go to normalize."""
    net.eval()
    with torch.no_grad():
        predicted = torch.cat(
            [net(normalize(batch, *values)).argmax(dim=1) for batch in data[0].split(250)]
        )
    return (predicted == data[1]).float().mean().item()


def choose(
    data: datasets.CIFAR10, classes: list[int], count: int, device: torch.device | str
) -> Images:
    """The first `count` images of each of the classes, with the places in `classes` as labels."""
    targets = torch.tensor(data.targets)
    places = [(targets == label).nonzero().flatten()[:count] for label in classes]
    images = torch.from_numpy(data.data).permute(0, 3, 1, 2)[torch.cat(places)]
    labels = torch.cat([torch.full_like(place, number) for number, place in enumerate(places)])
    return images.to(device), labels.to(device)


def transfer(way: str, trained: dict, data: Images) -> nn.Sequential:
    """A net for two classes, trained in 100 steps of 20 images."""
    net = make_net(BasicBlock, 20)
    net[-1] = nn.Linear(64, 8)
    if way != "from scratch":
        net.load_state_dict(trained)
    if way == "last layer alone":
        for param in net.parameters():
            param.requires_grad = False
    net[-1] = nn.Linear(64, 2)
    train(net, data, 20, 100, lr=0.01 if way == "last layer alone" else 0.001)
    return net


def draw(path: Path, results: dict[tuple, list[float]]) -> None:
    """Draw the means as bars, with the lowest and the highest run."""
    with new_figure(path, 9.5, 4.2) as figure:
        left, right = figure.subplots(1, 2, width_ratios=[1.1, 1])
        for number, (what, runs) in enumerate(results.items()):
            mean = sum(runs) / len(runs)
            spread = [[mean - min(runs)], [max(runs) - mean]]
            if len(what) == 1:
                right.barh(-number, mean, height=0.4, xerr=spread, color="#0072b2", capsize=3)
                right.text(0.01, 0.28 - number, f"{what[0]}: {mean:.3f}")
            else:
                place = COUNTS.index(int(what[0].split()[0])) * 4 + list(WAYS).index(what[1])
                label = what[1] if place < 4 else None
                left.bar(place, mean, yerr=spread, color=WAYS[what[1]], capsize=3, label=label)
                left.text(place, mean / 2, f"{mean:.3f}", ha="center", color="white")
        left.set(title="cat against horse", ylabel="test accuracy", ylim=(0, 1))
        left.set_xticks([1, 5], [f"{count} images of each class" for count in COUNTS])
        left.axhline(0.5, color="0.4", linewidth=1, linestyle="--", label="by chance")
        left.legend(loc="upper left", ncols=2, fontsize=8)
        right.set(
            title="eight classes, pre-processing in testing",
            xlabel="test accuracy",
            xlim=(0, 1),
            ylim=(-3.4, 0.6),
            yticks=[],
        )


def main() -> None:
    args = read_options(
        __doc__, (1000, "training images of each of the eight classes"), 8, "transfer_cifar.png"
    )
    train_set, test_set = (open_cifar10(args.data_path, train=train) for train in (True, False))
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "cpu"
    eight = [label for label in range(10) if label not in (CAT, HORSE)]
    data, test_eight = (
        choose(train_set, eight, args.images, device),
        choose(test_set, eight, 1000, device),
    )
    test_two = choose(test_set, [CAT, HORSE], 1000, device)

    results: dict[tuple, list[float]] = {}  # what was tried: its accuracy for each seed
    for seed in range(args.seeds):
        torch.manual_seed(seed)
        net = make_net(BasicBlock, 20)
        net[-1] = nn.Linear(64, 8)
        train(net, data, 64, args.epochs * (len(data[0]) // 64), lr=0.003)
        for name, values in PREPROCESSING.items():
            results.setdefault((name,), []).append(accuracy(net, test_eight, values))
        for count in COUNTS:
            few = choose(train_set, [CAT, HORSE], count, device)
            for way in WAYS:
                accuracy_of_two = accuracy(transfer(way, net.state_dict(), few), test_two)
                results.setdefault((f"{count} images of each class", way), []).append(
                    accuracy_of_two
                )
        print(f"seed {seed}: " + ", ".join(f"{runs[-1]:.3f}" for runs in results.values()))
    for what, runs in results.items():
        print(
            f"{', '.join(what)}: {sum(runs) / len(runs):.3f} ({min(runs):.3f} to {max(runs):.3f})"
        )

    draw(args.save, results)


if __name__ == "__main__":
    run(main)
