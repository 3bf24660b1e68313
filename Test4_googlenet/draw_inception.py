"""Draw an Inception block with its six numbers, as the code builds it.

python draw_inception.py            # writes inception.png, of inception3a
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from helpers import HERE, run
from model import GoogLeNet
from plots import new_figure

if TYPE_CHECKING:  # at run time plots.py imports matplotlib, and copes with a wrong MPLBACKEND
    from matplotlib.axes import Axes

BLUE, ORANGE, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#cc79a7"


def draw_box(axes: "Axes", x: float, y: float, text: str, color: str, width: float = 2.6) -> None:
    """A box around (x, y) with a text."""
    axes.bar(x, 0.9, width, bottom=y - 0.45, facecolor="white", edgecolor=color, linewidth=2)
    axes.text(x, y, text, ha="center", va="center", fontsize=9.5)


def draw_arrow(axes: "Axes", start: tuple[float, float], end: tuple[float, float]) -> None:
    """An arrow from `start` to `end`."""
    look = {"arrowstyle": "-|>", "color": "0.3", "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", end, start, arrowprops=look)


def describe(name: str, conv: nn.Conv2d) -> str:
    """A convolution's number in Inception(...), and below it its kernel and its weights."""
    side = conv.kernel_size[0]
    return f"{name} = {conv.out_channels}\nconv {side} x {side}, {conv.weight.numel():,}"


def draw_block(
    axes: "Axes", block_name: str, convs: dict[str, nn.Conv2d], in_channels: int, out_channels: int
) -> None:
    """The block's four branches side by side, from the input at the bottom to the output on top."""
    bottom, low, high, top = 0.0, 1.5, 3.0, 4.5
    text = {name: describe(name, conv) for name, conv in convs.items()}
    draw_box(axes, 4.5, bottom, f"in: {in_channels} channels", "black")
    draw_box(axes, 0, high, text["ch1x1"], BLUE)
    draw_box(axes, 3, low, text["ch3x3red"], BLUE)
    draw_box(axes, 3, high, text["ch3x3"], ORANGE)
    draw_box(axes, 6, low, text["ch5x5red"], BLUE)
    draw_box(axes, 6, high, text["ch5x5"], GREEN)
    draw_box(axes, 9, low, "max pool 3 x 3,\nstride 1, padding 1", PURPLE)
    draw_box(axes, 9, high, text["pool_proj"], BLUE)
    last_layers = ("ch1x1", "ch3x3", "ch5x5", "pool_proj")
    outs = " + ".join(str(convs[name].out_channels) for name in last_layers)
    draw_box(axes, 4.5, top, f"stacked: {outs} = {out_channels} channels", "black", 6)

    # the first branch has one layer, so its arrow goes around
    axes.plot([3.2, 0], [bottom, bottom], color="0.3", linewidth=1)
    draw_arrow(axes, (0, bottom), (0, high - 0.45))
    for x in (3, 6, 9):
        draw_arrow(axes, (4.5, bottom + 0.45), (x, low - 0.45))
        draw_arrow(axes, (x, low + 0.45), (x, high - 0.45))
    for x in (0, 3, 6, 9):
        draw_arrow(axes, (x, high + 0.45), (4.5 + (x - 4.5) / 3, top - 0.45))

    numbers = ", ".join(str(conv.out_channels) for conv in convs.values())
    title = f"{block_name}: Inception({in_channels}, {numbers})"
    axes.set_title(f"{title}, with the weights of each convolution")
    axes.set(xlim=(-1.5, 10.5), ylim=(-0.6, 5.1))
    axes.axis("off")


def main() -> None:
    net = GoogLeNet(num_classes=5)
    blocks = [name for name, _ in net.named_children() if name.startswith("inception")]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--block", choices=blocks, default="inception3a", help="which block (default: %(default)s)"
    )
    parser.add_argument(
        "--save", type=Path, default=HERE / "inception.png", help="file (default: %(default)s)"
    )
    args = parser.parse_args()

    block = getattr(net, args.block)
    convs = {  # in the order in which Inception(...) takes their channels
        "ch1x1": block.branch1.conv,
        "ch3x3red": block.branch2[0].conv,
        "ch3x3": block.branch2[1].conv,
        "ch5x5red": block.branch3[0].conv,
        "ch5x5": block.branch3[1].conv,
        "pool_proj": block.branch4[1].conv,
    }
    in_channels = convs["ch1x1"].in_channels
    with torch.no_grad():
        out_channels = block(torch.zeros(1, in_channels, 7, 7)).shape[1]
    with new_figure(args.save, 8.2, 4.6) as figure:
        draw_block(figure.subplots(), args.block, convs, in_channels, out_channels)

    ours = sum(convs[name].weight.numel() for name in ("ch3x3red", "ch3x3", "ch5x5red", "ch5x5"))
    # without 1x1 convolutions before them, the wide ones would read all channels of the input
    without = 0
    for name in ("ch3x3", "ch5x5"):
        height, width = convs[name].kernel_size
        without += height * width * in_channels * convs[name].out_channels
    print(f"weights of the 3x3 and 5x5 branches: {ours:,}; without their 1x1: {without:,}")


if __name__ == "__main__":
    run(main)
