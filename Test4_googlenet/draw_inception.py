"""Draw an Inception block with its six numbers, as the code builds it.

python draw_inception.py            # writes inception.png, of inception3a
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from helpers import HERE, run
from model import GoogLeNet
from plots import new_figure

if (
    TYPE_CHECKING
):  # when the script runs, plots.py imports matplotlib, and copes with a wrong MPLBACKEND
    from matplotlib.axes import Axes

BLUE, ORANGE, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#cc79a7"


def draw_box(axes: "Axes", x: float, y: float, text: str, color: str, width: float = 2.6) -> None:
    """A box around (x, y) with a text."""
    axes.bar(x, 0.9, width, bottom=y - 0.45, facecolor="white", edgecolor=color, linewidth=2)
    axes.text(x, y, text, ha="center", va="center", fontsize=11)


def draw_arrow(axes: "Axes", start: tuple[float, float], end: tuple[float, float]) -> None:
    """An arrow from `start` to `end`."""
    axes.annotate(
        "", end, start, arrowprops={"arrowstyle": "-|>", "color": "0.3", "shrinkA": 0, "shrinkB": 0}
    )


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
    convs = {
        "ch1x1": block.branch1.conv, "ch3x3red": block.branch2[0].conv, "ch3x3": block.branch2[1].conv,
        "ch5x5red": block.branch3[0].conv, "ch5x5": block.branch3[1].conv, "pool_proj": block.branch4[1].conv,
    }  # fmt: skip
    in_channels = convs["ch1x1"].in_channels
    with torch.no_grad():
        out_channels = block(torch.zeros(1, in_channels, 7, 7)).shape[1]

    def describe(name: str) -> str:
        side = convs[name].kernel_size[0]
        return f"{name} = {convs[name].out_channels}\nconv {side} x {side}, {convs[name].weight.numel():,}"

    with new_figure(args.save, 10, 5.4) as figure:
        axes = figure.subplots()
        low, high, top = 1.5, 3.0, 4.5
        draw_box(axes, 4.5, 0, f"in: {in_channels} channels", "black")
        draw_box(axes, 0, high, describe("ch1x1"), BLUE)
        for x, reduce, wide, color in (
            (3, "ch3x3red", "ch3x3", ORANGE),
            (6, "ch5x5red", "ch5x5", GREEN),
        ):
            draw_box(axes, x, low, describe(reduce), BLUE)
            draw_box(axes, x, high, describe(wide), color)
        draw_box(axes, 9, low, "max pool 3 x 3,\nstride 1, padding 1", PURPLE)
        draw_box(axes, 9, high, describe("pool_proj"), BLUE)
        outs = " + ".join(
            str(convs[name].out_channels) for name in ("ch1x1", "ch3x3", "ch5x5", "pool_proj")
        )
        draw_box(axes, 4.5, top, f"stacked: {outs} = {out_channels} channels", "black", 6)
        axes.plot(
            [3.2, 0], [0, 0], color="0.3", linewidth=1
        )  # the first branch has one layer: its arrow goes around
        draw_arrow(axes, (0, 0), (0, high - 0.45))
        for x in (3, 6, 9):
            draw_arrow(axes, (4.5, 0.45), (x, low - 0.45))
            draw_arrow(axes, (x, low + 0.45), (x, high - 0.45))
        for x in (0, 3, 6, 9):
            draw_arrow(axes, (x, high + 0.45), (4.5 + (x - 4.5) / 3, top - 0.45))
        numbers = ", ".join(str(conv.out_channels) for conv in convs.values())
        axes.set_title(
            f"{args.block}: Inception({in_channels}, {numbers}), with the weights of each convolution"
        )
        axes.set(xlim=(-1.5, 10.5), ylim=(-0.6, 5.1))
        axes.axis("off")

    # what the wide convolutions would take if no 1x1 convolution reduced the channels that they read
    wide = {
        name: convs[name].weight[0, 0].numel() * convs[name].out_channels
        for name in ("ch3x3", "ch5x5")
    }
    ours = sum(convs[name].weight.numel() for name in ("ch3x3red", "ch3x3", "ch5x5red", "ch5x5"))
    print(
        f"weights of the 3x3 and 5x5 branches: {ours:,}; without their 1x1: {in_channels * sum(wide.values()):,}"
    )


if __name__ == "__main__":
    run(main)
