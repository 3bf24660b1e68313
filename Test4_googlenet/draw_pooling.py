"""Draw the last windows of maxpool1 at the right edge, rounded down and with ceil_mode=True.

python draw_pooling.py              # writes pooling.png
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

WIDTH = 112  # of what goes into maxpool1, as conv1 makes it of 224
SHOWN = 12  # the columns that are drawn
COLORS = "#0072b2", "#d55e00"  # of the windows, in turn


def draw_windows(axes: "Axes", pool: nn.MaxPool2d) -> None:
    """The input's last columns as boxes; grey is what no window reads. Below them the windows."""
    kernel, stride = pool.kernel_size, pool.stride
    windows = pool(torch.zeros(1, 1, WIDTH, WIDTH)).shape[-1]  # as many as come out
    end = (windows - 1) * stride + kernel  # the column after the last window
    for column in range(WIDTH - SHOWN, max(end, WIDTH)):
        text, color, style = str(column), "white", "-"
        if column >= end:
            color = "0.8"
        if column >= WIDTH:
            text, style = "outside", "--"
        axes.bar(column, 1, 1, facecolor=color, edgecolor="0.3", linestyle=style)
        axes.text(column, 0.5, text, ha="center", va="center", fontsize=9.5)
    for number in range(windows):
        start = number * stride
        if start < WIDTH - SHOWN:
            continue
        color = COLORS[number % 2]
        y = -0.5 - 0.75 * (number % 2)  # in two rows, since neighbours overlap
        axes.plot([start - 0.4, start + kernel - 0.6], [y, y], color=color, linewidth=6)
        middle = start + (kernel - 1) / 2
        axes.text(middle, y - 0.12, f"output {number}", color=color, ha="center", va="top")
    how = "ceil_mode=True, rounded up" if pool.ceil_mode else "rounded down"
    last = f"column {WIDTH - 1} is read by {'no window' if end < WIDTH else 'one more window'}"
    axes.set_title(f"{how}: {windows} windows on {WIDTH} columns; {last}", fontsize=10)
    axes.set(xlim=(WIDTH - SHOWN - 0.6, WIDTH + 0.6), ylim=(-1.9, 1.1))
    axes.axis("off")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--save", type=Path, default=HERE / "pooling.png", help="file (default: %(default)s)"
    )
    args = parser.parse_args()

    ours = GoogLeNet(num_classes=5).maxpool1
    usual = nn.MaxPool2d(ours.kernel_size, ours.stride)
    with new_figure(args.save, 8.2, 3.7) as figure:
        for axes, pool in zip(figure.subplots(2), (usual, ours), strict=True):
            draw_windows(axes, pool)


if __name__ == "__main__":
    run(main)
