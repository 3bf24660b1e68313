"""Draw the paper's AlexNet, whose halves are on two GPUs, and below it this lesson's net.

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

if TYPE_CHECKING:  # at run time plots.py imports matplotlib, and copes with a wrong MPLBACKEND
    from matplotlib.axes import Axes

BLUE, ORANGE, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
# the paper's layers; with groups=2 each half reads only the maps of its own GPU. The paper names no
# padding: with 2, as in this lesson's net, 224 x 224 pixels give the paper's 55 x 55
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
NORMALISED = {0, 1}  # in the paper's net, local response normalisation comes before it
READ_BOTH = (2, 5, 6)  # in the paper's net, each half of these layers reads both halves before it
COLUMN, BOX, STRIP = 2.5, 1.45, 0.16  # widths: of a column, of a box in it, of a strip beside it
TOP, BOTTOM, BELOW = 1.15, -1.15, -5.0  # the y of the paper's two halves, and of this lesson's net
INPUT = 1.8  # the width of the box of the picture
SMALL = 9  # points


def count(layers: list[nn.Module]) -> int:
    """The number of parameters of all the layers."""
    return sum(p.numel() for layer in layers for p in layer.parameters())


def draw_box(axes: "Axes", x: float, y: float, text: str, color: str, width: float = BOX) -> None:
    """A box around (x, y) with a text."""
    axes.bar(x, 1.4, width, bottom=y - 0.7, facecolor="white", edgecolor=color, linewidth=2)
    axes.text(x, y, text, ha="center", va="center", fontsize=SMALL)


def draw_strips(axes: "Axes", i: int, y: float, colors: list[str]) -> None:
    """Narrow strips beside the box of layer i, counted from 0: what follows the layer."""
    for number, color in enumerate(colors):
        x = COLUMN * (i + 1) + BOX / 2 + 0.16 + 0.2 * number
        axes.bar(x, 1.4, STRIP, bottom=y - 0.7, color=color)


def draw_arrow(axes: "Axes", i: int, start: float, end: float) -> None:
    """An arrow to layer i, counted from 0, from the one before: from the y `start` to the y `end`.

    It is dashed if it goes from one GPU to the other.
    """
    left = COLUMN * i + BOX / 2
    if i == 0:
        left = INPUT / 2
    if i - 1 in POOLED:
        left = COLUMN * i + BOX / 2 + 0.48  # beside the strips
    right = COLUMN * (i + 1) - BOX / 2
    look = {"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0, "color": "0.3"}
    if abs(end - start) > 1.5:
        look.update(color=ORANGE, linestyle="--", linewidth=1.5)
    axes.annotate("", (right, end), (left, start), arrowprops=look)


def draw_lane(axes: "Axes", y: float, widths: list[int], sizes: list[int], paper: bool) -> None:
    """A box for the output of each layer but the last, and an arrow from each to the next.

    Args:
        y: where the lane is
        widths: how many maps or values each layer puts out in this lane
        sizes: height and width of these maps
        paper: whether it is of the paper's net, which has LRN
    """
    for i in range(len(widths) - 1):
        x = COLUMN * (i + 1)
        if i < 5:  # a convolution
            draw_box(axes, x, y, f"{widths[i]}\n{sizes[i]}x{sizes[i]}", BLUE)
        else:
            draw_box(axes, x, y, f"{widths[i]:,}", GREEN)
        if i in POOLED:
            draw_strips(axes, i, y, [PURPLE, ORANGE] if paper and i in NORMALISED else [ORANGE])
        if i > 0:
            draw_arrow(axes, i, y, y)


def draw_ends(
    axes: "Axes", y: float, layers: list[nn.Module], title: str, note: str, space: float
) -> None:
    """The first and the last box of a net; the title above it, and its parameters below.

    Args:
        y: the middle of the net
        layers: all its layers
        title: its name
        note: a text below the first box
        space: from the middle to the text above and to that below
    """
    draw_box(axes, 0, y, "3\n224x224", "black", INPUT)
    axes.text(0, y - 0.8, note, ha="center", va="top", fontsize=SMALL)
    draw_box(axes, 8 * COLUMN, y, f"{layers[-1].out_features:,}", GREEN)
    left = -INPUT / 2
    axes.text(left, y + space, f"{title}: {count(layers):,} parameters", va="bottom", fontsize=11)
    below = y - space - 0.25
    for i, layer in enumerate(layers, start=1):
        text = f"{count([layer]):,}"
        axes.text(COLUMN * i, below, text, ha="center", va="top", fontsize=SMALL)
    axes.text(left, below, "parameters:", va="top", fontsize=SMALL)


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
    sizes: list[int] = []  # the width of what leaves each layer

    def note_size(layer: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        sizes.append(output.shape[-1])

    for layer in ours:
        layer.register_forward_hook(note_size)
    with torch.no_grad():
        net(torch.zeros(1, 3, 224, 224))

    with new_figure(args.save, 8.2, 5.4) as figure:
        axes = figure.subplots()
        half_widths = [len(layer.weight) // 2 for layer in PAPER]
        for y in (TOP, BOTTOM):
            draw_lane(axes, y, half_widths, sizes, paper=True)
            draw_arrow(axes, 0, 0, y)
            draw_arrow(axes, 7, y, 0)
        for i in READ_BOTH:
            draw_arrow(axes, i, TOP, BOTTOM)
            draw_arrow(axes, i, BOTTOM, TOP)
        note = "dashed: what a half\nreads from the other GPU"
        axes.text(4.4 * COLUMN, 0, note, ha="center", va="center", fontsize=SMALL)
        note = "55x55 needs\npadding 2,\nor 227x227"
        draw_ends(axes, 0, PAPER, "the paper's net, on two GPUs", note, 2.0)

        widths = [len(layer.weight) for layer in ours]
        draw_lane(axes, BELOW, widths, sizes, paper=False)
        draw_arrow(axes, 0, BELOW, BELOW)
        draw_arrow(axes, 7, BELOW, BELOW)
        draw_ends(axes, BELOW, ours, "this lesson's net", "padding 2", 1.15)

        for i, layer in enumerate(ours, start=1):
            text = "linear"
            if isinstance(layer, nn.Conv2d):
                text = f"conv\n{layer.kernel_size[0]}x{layer.kernel_size[1]}"
            if i == 1:
                text += "\nstride 4"
            axes.text(COLUMN * i, 4.4, text, ha="center", va="top", fontsize=10)
        for x, color, text in (
            (-INPUT / 2, PURPLE, "local response normalisation (LRN)"),
            (4 * COLUMN, ORANGE, "max pooling, 3x3, stride 2"),
        ):
            axes.bar(x, 0.6, STRIP, bottom=-7.9, color=color, align="edge")
            axes.text(x + 0.35, -7.6, text, va="center", fontsize=SMALL)
        axes.set(xlim=(-1, 21.1), ylim=(-8, 4.5))
        axes.axis("off")

    for i in range(len(PAPER)):
        in_paper, in_ours = count([PAPER[i]]), count([ours[i]])
        print(f"layer {i + 1}: the paper's {in_paper:10,} parameters, ours {in_ours:9,}")
    print(f"all: {count(PAPER):,} and {count(ours):,}; a GPU held {count(PAPER) // 2:,}")


if __name__ == "__main__":
    run(main)
