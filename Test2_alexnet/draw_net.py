"""Draw the paper's AlexNet with its two halves, each on a GPU, and below it this lesson's net, which has one.

python draw_net.py                  # writes alexnet.png
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from helpers import HERE, run
from model import AlexNet
from plots import new_figure

if (
    TYPE_CHECKING
):  # when the script runs, plots.py imports matplotlib, and copes with a wrong MPLBACKEND
    from matplotlib.axes import Axes

BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"
# the paper's layers; with groups=2 each half reads its own GPU's maps alone
PAPER = [
    nn.Conv2d(3, 96, kernel_size=11, stride=4, padding=2),
    nn.Conv2d(96, 256, kernel_size=5, padding=2, groups=2),
    nn.Conv2d(256, 384, kernel_size=3, padding=1),
    nn.Conv2d(384, 384, kernel_size=3, padding=1, groups=2),
    nn.Conv2d(384, 256, kernel_size=3, padding=1, groups=2),
    nn.Linear(256 * 6 * 6, 4096),
    nn.Linear(4096, 4096),
    nn.Linear(4096, 1000),
]
POOLED = {0, 1, 4}  # a max pooling follows these layers
COLUMN, BOX = 2.5, 1.6  # width of a column, and of a box in it


def count(layer: nn.Module) -> int:
    """The number of a layer's parameters."""
    return sum(p.numel() for p in layer.parameters())


def draw_box(axes: "Axes", x: float, y: float, text: str, color: str, width: float = BOX) -> None:
    """A box around (x, y) with a text, which stands upright in a narrow one."""
    axes.bar(x, 1.4, width, bottom=y - 0.7, facecolor="white", edgecolor=color, linewidth=2)
    axes.text(x, y, text, ha="center", va="center", fontsize=10, rotation=90 if width < 1 else 0)


def draw_lane(axes: "Axes", y: float, widths: list[int], sizes: list[int], pooling: str) -> None:
    """A box for the output of each layer but the last, and an arrow from each to the next.

    Args:
        y: where the lane is
        widths: how many maps or values each layer puts out in this lane
        sizes: height and width of these maps
        pooling: what follows the first two layers
    """
    for i, (width, size) in enumerate(zip(widths[:-1], sizes, strict=False)):
        x, is_conv = COLUMN * (i + 1), i < 5
        draw_box(
            axes,
            x,
            y,
            f"{width}\n{size} x {size}" if is_conv else f"{width:,}",
            BLUE if is_conv else GREEN,
        )
        if i in POOLED:
            draw_box(axes, x + 1.05, y, "pool" if i == 4 else pooling, ORANGE, width=0.4)
        if i:
            draw_arrow(axes, i, y, y)


def draw_arrow(axes: "Axes", i: int, start: float, end: float) -> None:
    """An arrow to layer i, counted from 0, from the one before: from a lane's y to its own or another's y."""
    x = COLUMN * (i + 1) - BOX / 2
    left = COLUMN * i + (1.3 if i - 1 in POOLED else BOX / 2)
    cross = (
        {"color": ORANGE, "linestyle": "--", "linewidth": 1.5}
        if abs(end - start) > 1.5
        else {"color": "0.3"}
    )
    axes.annotate(
        "",
        (x, end),
        (left, start),
        arrowprops={"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0, **cross},
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--save", type=Path, default=HERE / "alexnet.png", help="file (default: %(default)s)"
    )
    args = parser.parse_args()

    net = AlexNet(num_classes=5).eval()
    ours = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    sizes: list[int] = []
    for layer in ours:
        layer.register_forward_hook(lambda _, __, out: sizes.append(out.shape[-1]))
    with torch.no_grad():
        net(torch.zeros(1, 3, 224, 224))

    top, bottom, below = 1.2, -1.2, -5.0
    with new_figure(args.save, 10.5, 5.7) as figure:
        axes = figure.subplots()
        for y in (top, bottom):
            draw_lane(axes, y, [len(layer.weight) // 2 for layer in PAPER], sizes, "LRN, pool")
            draw_arrow(axes, 0, 0, y)
            draw_arrow(axes, 7, y, 0)
        for i, layer in enumerate(PAPER[:-1]):
            if i and getattr(layer, "groups", 1) == 1:  # each half reads both
                draw_arrow(axes, i, top, bottom)
                draw_arrow(axes, i, bottom, top)
        axes.text(
            4.5 * COLUMN,
            0,
            "dashed: what a half\nreads from the other GPU",
            ha="center",
            va="center",
            fontsize=10,
        )
        draw_lane(axes, below, [len(layer.weight) for layer in ours], sizes, "pool")
        for y, layers, title in (
            (0, PAPER, "the paper's net, on two GPUs"),
            (below, ours, "this lesson's net"),
        ):
            draw_box(axes, 0, y, "3\n224 x 224", "black")
            draw_box(axes, 8 * COLUMN, y, f"{len(layers[-1].weight):,}", GREEN)
            title += f": {sum(map(count, layers)):,} parameters"
            axes.text(-0.8, y + (2.1 if layers is PAPER else 0.9), title, va="bottom", fontsize=12)
            y -= 2.1 if layers is PAPER else 0.9
            for i, layer in enumerate(layers, start=1):
                axes.text(COLUMN * i, y, f"{count(layer):,}", ha="center", va="top", fontsize=10)
            axes.text(-0.8, y, "parameters:", va="top", fontsize=10)
        draw_arrow(axes, 0, below, below)
        draw_arrow(axes, 7, below, below)
        for i, layer in enumerate(ours, start=1):
            kernel = f"conv {layer.kernel_size[0]} x {layer.kernel_size[1]}" if i < 6 else "linear"
            axes.text(
                COLUMN * i,
                4.1,
                kernel + "\nstride 4" * (i == 1),
                ha="center",
                va="top",
                fontsize=11,
            )
        axes.set(xlim=(-1, 21.1), ylim=(-6.5, 4.2))
        axes.axis("off")

    for i, (one, other) in enumerate(zip(PAPER, ours, strict=True), start=1):
        print(f"layer {i}: the paper's {count(one):10,} parameters, ours {count(other):9,}")
    print(
        f"all: {sum(map(count, PAPER)):,} and {sum(map(count, ours)):,}; a GPU held {sum(map(count, PAPER)) // 2:,}"
    )


if __name__ == "__main__":
    run(main)
