"""Measure what the residual block mends: plain nets of 20 and 56 layers on CIFAR-10, and the same with shortcuts.

python degradation.py --data-path ../Test1_official_demo/data       # writes degradation.png

The nets are those of the paper's section 4.2: 3x3 convolutions with 16, 32 and 64 channels, batch norm, and global
average pooling. Without shortcuts the deeper net has the larger training error, which no overfitting explains.
A residual block can start as the identity, with the weight of its last batch norm at 0; a plain one cannot.
"""

import argparse
import time
from pathlib import Path

import utils  # first, because torch loads faster after it

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from torch import nn, optim
from torch.nn import functional as F

from model import BasicBlock

HERE = Path(__file__).resolve().parent


class PlainBlock(BasicBlock):
    """A BasicBlock without its shortcut."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, in_channel, H, W] to [N, out_channel, H / stride, W / stride]."""
        out = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(out)))


def make_net(block: type[BasicBlock], layers: int) -> nn.Sequential:
    """A net of 6n + 2 layers for images [N, 3, 32, 32]; the shortcuts that change the shape are 1x1 convolutions."""
    modules: list[nn.Module] = [nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True)]
    in_channel = 16
    for channel, stride in ((16, 1), (32, 2), (64, 2)):
        for i in range((layers - 2) // 6):
            first = i == 0 and stride == 2
            downsample = None
            if first and block is BasicBlock:
                downsample = nn.Sequential(nn.Conv2d(in_channel, channel, 1, 2, bias=False), nn.BatchNorm2d(channel))
            modules.append(block(in_channel, channel, stride if first else 1, downsample))
            in_channel = channel
    modules += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)]
    net = nn.Sequential(*modules)
    for m in net.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
        if type(m) is BasicBlock:  # F(x) starts as 0: the net starts as a shallow one, and deepens as it learns
            nn.init.zeros_(m.bn2.weight)
    return net


def train(net: nn.Module, images: torch.Tensor, labels: torch.Tensor, epochs: int, device: torch.device) -> list[float]:
    """Train with SGD, momentum 0.9; returns the mean loss of each epoch."""
    net.to(device, memory_format=torch.channels_last).train()
    optimizer = optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=0.0001)
    losses = []
    for epoch in range(epochs):
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(epoch))
        total = 0.0
        for index in order.split(128):
            batch = images[index].to(device, torch.float32, memory_format=torch.channels_last).div_(127.5).sub_(1)
            optimizer.zero_grad()
            loss = F.cross_entropy(net(batch), labels[index].to(device))
            loss.backward()
            optimizer.step()
            total += loss.item() * len(index)
        losses.append(total / len(images))
    return losses


def draw_block(axes: Axes) -> None:
    """A residual block: two convolutions, and the line that goes around them."""
    for y, text in ((3, "conv 3x3, batch norm"), (1.9, "ReLU"), (0.8, "conv 3x3, batch norm")):
        axes.add_patch(FancyBboxPatch((-1.3, y - 0.3), 2.6, 0.6, boxstyle="round,pad=0.03", facecolor="#a6cee3"))
        axes.text(0, y, text, ha="center", va="center", fontsize=10)
    style = {"arrowstyle": "-|>", "color": "0.3"}
    for start, end in ((4.3, 3.35), (2.65, 2.25), (1.55, 1.15), (0.45, -0.1), (-0.6, -1.3)):
        axes.annotate("", (0, end), (0, start), arrowprops=style)
    axes.text(0, -0.35, "+", ha="center", va="center", fontsize=20)
    axes.plot([0, 2.1, 2.1], [3.9, 3.9, -0.35], color="#d55e00", linewidth=2)
    axes.annotate("", (0.2, -0.35), (2.1, -0.35), arrowprops={**style, "color": "#d55e00", "linewidth": 2})
    text = "shortcut:\nx as it is\n(solid), or\nthrough a 1x1\nconvolution\n(dashed)"
    axes.text(2.2, 1.8, text, va="center", fontsize=9)
    axes.text(0.15, 4.2, "x", fontsize=12)
    axes.text(0.15, -1.0, "ReLU(F(x) + x)", fontsize=11)
    axes.set(xlim=(-1.7, 3.9), ylim=(-1.5, 4.5), title="the residual block")
    axes.axis("off")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=utils.HelpFormatter)
    data_path = HERE.parent / "Test1_official_demo" / "data"
    if not data_path.exists():  # this folder was copied away alone
        data_path = HERE / "data"
    parser.add_argument("--data-path", type=Path, default=data_path, help="root that is handed to CIFAR10")
    parser.add_argument("--images", type=utils.positive_int, default=4000, help="training images to use")
    parser.add_argument("--epochs", type=utils.positive_int, default=10, help="times to go through them")
    parser.add_argument("--device", type=utils.device, default=utils.default_device(), help="cpu, cuda:0, mps, ...")
    parser.add_argument("--save", type=utils.figure, default=HERE / "degradation.png", help="file to draw to")
    args = parser.parse_args()

    train_set = utils.open_cifar10(args.data_path, train=True)
    images = torch.from_numpy(train_set.data).permute(0, 3, 1, 2)[: args.images]
    labels = torch.tensor(train_set.targets)[: args.images]
    figure = Figure(figsize=(13, 4.6), layout="constrained")
    block_axes, plain_axes, residual_axes = figure.subplots(1, 3, width_ratios=[0.9, 1, 1])
    draw_block(block_axes)
    highest = 0.0
    for axes, block, title in ((plain_axes, PlainBlock, "plain"), (residual_axes, BasicBlock, "residual")):
        for layers, color, mark in ((20, "#0072b2", "o"), (56, "#d55e00", "s")):
            torch.manual_seed(0)
            start = time.perf_counter()
            losses = train(make_net(block, layers), images, labels, args.epochs, args.device)
            print(f"{title} net, {layers} layers: training loss {losses[-1]:.3f}, {time.perf_counter() - start:.0f} s")
            axes.plot(range(1, args.epochs + 1), losses, color=color, marker=mark, label=f"{layers} layers")
            highest = max(highest, *losses)
        axes.set(title=f"{title} nets", xlabel="epoch", ylabel="training loss")
        axes.grid(alpha=0.3)
        axes.legend()
        axes.xaxis.get_major_locator().set_params(integer=True)
    for axes in (plain_axes, residual_axes):
        axes.set(ylim=(0, 1.05 * highest))
    figure.suptitle(f"CIFAR-10, {len(images)} images")
    utils.save_figure(figure, args.save)
    print(f"drawn in {args.save}")


if __name__ == "__main__":
    utils.run(main)
