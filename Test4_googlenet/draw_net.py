"""Draw GoogLeNet as the code builds it: its layers and Inception blocks in four rows, and its two auxiliary heads.

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

if (
    TYPE_CHECKING
):  # when the script runs, plots.py imports matplotlib, and copes with a wrong MPLBACKEND
    from matplotlib.axes import Axes

BLUE, ORANGE, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
COLUMN, BOX = 2.3, 1.9  # the width of a column, and of a box in it
ROWS = {
    "inception3a": -2.0,
    "inception4a": -4.0,
    "inception5a": -7.8,
}  # y of the rows that begin with these blocks


def draw_box(axes: "Axes", x: float, y: float, text: str, color: str, style: str = "-") -> None:
    """A box around (x, y) with a text."""
    axes.bar(
        x,
        1.2,
        BOX,
        bottom=y - 0.6,
        facecolor="white",
        edgecolor=color,
        linewidth=2,
        linestyle=style,
    )
    axes.text(x, y, text, ha="center", va="center", fontsize=10)


def draw_arrow(axes: "Axes", *points: tuple[float, float], style: str = "-") -> None:
    """An arrow along `points`, around corners where there are more than two."""
    axes.plot(*zip(*points, strict=True), color="0.3", linewidth=1, linestyle=style)
    axes.annotate(
        "", points[-1], points[-2], arrowprops={"arrowstyle": "-|>", "color": "0.3", "shrinkB": 0}
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--save", type=Path, default=HERE / "googlenet.png", help="file (default: %(default)s)"
    )
    args = parser.parse_args()

    net = GoogLeNet(num_classes=5).train()  # train: in eval() the auxiliary heads do not compute
    texts: dict[str, str] = {}
    for name, layer in net.named_children():

        def note(layer: nn.Module, _: tuple, out: torch.Tensor, name: str = name) -> None:
            count = sum(p.numel() for p in layer.parameters())
            texts[name] = f"{name}\n{' x '.join(map(str, out.shape[1:]))}\n{count:,}"

        layer.register_forward_hook(note)
    with torch.no_grad():
        net(torch.zeros(1, 3, 224, 224))

    pools = (nn.MaxPool2d, nn.AdaptiveAvgPool2d)
    colors = {BasicConv2d: BLUE, Inception: GREEN, **dict.fromkeys(pools, ORANGE)}
    with new_figure(args.save, 10, 7.6) as figure:
        axes = figure.subplots()
        x, y = 0.0, 0.0
        draw_box(axes, x, y, "image\n3 x 224 x 224", "black")
        for name, layer in net.named_children():
            if name.startswith("aux"):  # drawn with the block that it reads
                continue
            if name in ROWS:  # a pooling has halved height and width
                corner = ROWS[name] + 1.0
                draw_arrow(axes, (x, y - 0.6), (x, corner), (0, corner), (0, ROWS[name] + 0.6))
                x, y = 0.0, ROWS[name]
            else:
                draw_arrow(axes, (x + BOX / 2, y), (x + COLUMN - BOX / 2, y))
                x += COLUMN
            draw_box(axes, x, y, texts[name], colors.get(type(layer), "black"))
            if head := {"inception4a": "aux1", "inception4d": "aux2"}.get(name):
                draw_arrow(axes, (x, y - 0.6), (x, y - 1.1), style="--")
                draw_box(axes, x, y - 1.7, texts[head], PURPLE, "--")
        text = {"va": "center", "fontsize": 10}
        axes.text(
            1.6 * COLUMN, ROWS["inception4a"] - 1.7, "auxiliary heads:\nin training only", **text
        )
        axes.text(
            2.6 * COLUMN,
            ROWS["inception3a"],
            "in each box: the layer, its output, its parameters",
            **text,
        )
        axes.set(xlim=(-1.1, 5 * COLUMN + 1.1), ylim=(-8.6, 0.8))
        axes.axis("off")
    heads = sum(p.numel() for head in (net.aux1, net.aux2) for p in head.parameters())
    everything = sum(p.numel() for p in net.parameters())
    print(f"{everything - heads:,} parameters, and {heads:,} more in the two auxiliary heads")


if __name__ == "__main__":
    run(main)
