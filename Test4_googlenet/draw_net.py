"""Draw GoogLeNet as the code builds it: layers and blocks in four rows, and two auxiliary heads.

python draw_net.py                  # writes googlenet.png
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from helpers import HERE, run
from model import BasicConv2d, GoogLeNet, Inception
from plots import new_figure

if TYPE_CHECKING:  # at run time plots.py imports matplotlib, and copes with a wrong MPLBACKEND
    from matplotlib.axes import Axes

COLORS = {
    BasicConv2d: "#0072b2",
    nn.MaxPool2d: "#d55e00",
    nn.AdaptiveAvgPool2d: "#d55e00",
    Inception: "#009e73",
}
PURPLE = "#aa4499"  # for the auxiliary heads
COLUMN, BOX = 2.3, 1.9  # the width of a column, and of a box in it
# the blocks that begin a row, each after a pooling that halves height and width, and the row's y
ROWS = {"inception3a": -2.0, "inception4a": -4.0, "inception5a": -7.8}
HEADS = {"inception4a": "aux1", "inception4d": "aux2"}  # the blocks that the heads read
# as train.py adds them
LOSSES = {"aux1": "+ 0.3 · loss1", "aux2": "+ 0.3 · loss2", "fc": "loss0"}


def count(module: nn.Module) -> int:
    """The number of a module's parameters."""
    return sum(p.numel() for p in module.parameters())


def draw_box(axes: "Axes", x: float, y: float, text: str, color: str, style: str = "-") -> None:
    """A box around (x, y) with a text."""
    look = {"facecolor": "white", "edgecolor": color, "linewidth": 2, "linestyle": style}
    axes.bar(x, 1.2, BOX, bottom=y - 0.6, **look)
    axes.text(x, y, text, ha="center", va="center", fontsize=8.5)


def draw_arrow(axes: "Axes", *points: tuple[float, float], style: str = "-") -> None:
    """An arrow along `points`, around corners where there are more than two."""
    xs = [x for x, _ in points[:-1]]
    ys = [y for _, y in points[:-1]]
    axes.plot(xs, ys, color="0.3", linewidth=1)
    last = {"arrowstyle": "-|>", "color": "0.3", "shrinkA": 0, "shrinkB": 0, "linestyle": style}
    axes.annotate("", points[-1], points[-2], arrowprops=last)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--save", type=Path, default=HERE / "googlenet.png", help="file (default: %(default)s)"
    )
    args = parser.parse_args()

    net = GoogLeNet(num_classes=5).train()  # train: in eval() the auxiliary heads do not compute
    shapes: dict[nn.Module, str] = {}  # of what leaves each layer, without the batch

    def note_shape(layer: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        shapes[layer] = " x ".join(str(size) for size in output.shape[1:])

    for layer in net.children():
        layer.register_forward_hook(note_shape)
    with torch.no_grad():
        net(torch.zeros(1, 3, 224, 224))
    texts = {}
    for name, layer in net.named_children():
        texts[name] = f"{name}\n{shapes[layer]}\n{count(layer):,}"

    with new_figure(args.save, 8.2, 6.6) as figure:
        axes = figure.subplots()
        x, y = 0.0, 0.0
        draw_box(axes, x, y, "image\n3 x 224 x 224", "black")
        for name, layer in net.named_children():
            if name in HEADS.values():  # drawn with the block that it reads
                continue
            if name in ROWS:
                corner = ROWS[name] + 1.0
                draw_arrow(axes, (x, y - 0.6), (x, corner), (0, corner), (0, ROWS[name] + 0.6))
                x, y = 0.0, ROWS[name]
            else:
                draw_arrow(axes, (x + BOX / 2, y), (x + COLUMN - BOX / 2, y))
                x += COLUMN
            draw_box(axes, x, y, texts[name], COLORS.get(type(layer), "black"))
            if name in HEADS:
                head = HEADS[name]
                draw_arrow(axes, (x, y - 0.6), (x, y - 1.1), style="--")
                draw_box(axes, x, y - 1.7, texts[head], PURPLE, "--")
                axes.text(x + 0.55 * COLUMN, y - 1.7, LOSSES[head], va="center", fontsize=9.5)
            if name in LOSSES:
                axes.text(x + 0.55 * COLUMN, y, LOSSES[name], va="center", fontsize=9.5)
        x, y = 2.6 * COLUMN, ROWS["inception3a"]
        notes = {
            "in each box: name, output, parameters": "black",
            "convolution with ReLU": COLORS[BasicConv2d],
            "pooling": COLORS[nn.MaxPool2d],
            "Inception block": COLORS[Inception],
            "auxiliary head, in training only": PURPLE,
        }
        for line, (note, color) in enumerate(notes.items()):
            axes.text(x, y + 0.55 - 0.3 * line, note, color=color, va="center", fontsize=9)
        axes.set(xlim=(-1.1, 5 * COLUMN + 1.1), ylim=(-8.6, 0.8))
        axes.axis("off")

    heads = count(net.aux1) + count(net.aux2)
    others = count(net) - heads
    print(f"{others:,} parameters, and {heads:,} more in the two auxiliary heads")


if __name__ == "__main__":
    run(main)
