"""Draw ResNet34 block by block, with its solid and its dashed shortcuts, as the code builds it.

python draw_net.py                          # writes resnet34.png
python draw_net.py --model-name resnet50    # writes resnet50.png: layer1 has a dashed shortcut too
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from helpers import HERE, run
from model import models
from plots import new_figure

if (
    TYPE_CHECKING
):  # when the script runs, plots.py imports matplotlib, and copes with a wrong MPLBACKEND
    from matplotlib.axes import Axes

BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"
COLUMN, ROW, BOX = 2.6, 3.0, 1.9  # the width of a column, the height of a row, the width of a box
SOLID = {"color": GREEN, "linewidth": 2.5}
DASHED = {"color": ORANGE, "linewidth": 2.5, "linestyle": "--"}


def draw_box(axes: "Axes", x: float, y: float, text: str, color: str) -> None:
    """A box around (x, y) with a text."""
    axes.bar(x, 1.4, BOX, bottom=y - 0.7, facecolor="white", edgecolor=color, linewidth=2)
    axes.text(x, y, text, ha="center", va="center", fontsize=10)


def draw_arrow(axes: "Axes", *points: tuple[float, float]) -> None:
    """An arrow along `points`, around corners where there are more than two."""
    axes.plot(*zip(*points, strict=True), color="0.3", linewidth=1)
    axes.annotate(
        "", points[-1], points[-2], arrowprops={"arrowstyle": "-|>", "color": "0.3", "shrinkB": 0}
    )


def draw_block(axes: "Axes", x: float, y: float, block: nn.Module) -> None:
    """A block's convolutions in a box, and around the box its shortcut: dashed if it is a convolution itself."""
    convs = [layer for layer in block.children() if isinstance(layer, nn.Conv2d)]
    lines = [
        f"{c.kernel_size[0]} x {c.kernel_size[0]}, {c.out_channels}" + ", / 2" * (c.stride[0] == 2)
        for c in convs
    ]
    draw_box(axes, x, y, "\n".join(lines), BLUE)
    left, right, top = x - COLUMN / 2 + 0.1, x + COLUMN / 2 - 0.1, y + 1.1
    axes.plot(
        [left, left, right, right], [y, top, top, y], **(DASHED if block.downsample else SOLID)
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ["resnet18", "resnet34", "resnet50"]
    parser.add_argument(
        "--model-name",
        choices=names,
        default="resnet34",
        help="which ResNet (default: %(default)s)",
    )
    parser.add_argument(
        "--save", type=Path, help="file of the picture (default: the model's name and .png)"
    )
    args = parser.parse_args()
    path = args.save or HERE / f"{args.model_name}.png"

    net = models[args.model_name](num_classes=5).eval()
    shapes: dict[str, str] = {}
    for name, layer in net.named_children():
        layer.register_forward_hook(
            lambda _, __, out, n=name: shapes.update({n: " x ".join(map(str, out.shape[1:]))})
        )
    with torch.no_grad():
        net(torch.zeros(1, 3, 224, 224))

    with new_figure(path, 10, 7.8) as figure:
        axes = figure.subplots()
        draw_box(axes, 0, 0, "image\n3 x 224 x 224", "black")
        draw_box(axes, COLUMN, 0, f"conv1 7 x 7, / 2\n{shapes['conv1']}", BLUE)
        draw_box(axes, 2 * COLUMN, 0, f"max pool\n{shapes['maxpool']}", "black")
        row = [
            3,
            *(len(getattr(net, f"layer{number}")) for number in range(1, 5)),
        ]  # boxes in each row
        for y, boxes in zip((0, -ROW, -2 * ROW, -3 * ROW, -4 * ROW), row, strict=True):
            for i in range(boxes - 1):
                draw_arrow(axes, (COLUMN * i + BOX / 2, y), (COLUMN * (i + 1) - BOX / 2, y))
        for number in range(1, 5):
            y = -ROW * number
            for i, block in enumerate(getattr(net, f"layer{number}")):
                draw_block(axes, COLUMN * i, y, block)
            axes.text(
                -BOX / 2,
                y - 1,
                f"layer{number}: {shapes[f'layer{number}']}",
                va="center",
                fontsize=11,
            )
            right, left = COLUMN * (row[number - 1] - 0.5), -COLUMN / 2
            corners = [
                (right, y + ROW),
                (right, y + 1.6),
                (left, y + 1.6),
                (left, y),
                (-BOX / 2, y),
            ]
            draw_arrow(axes, (right - (COLUMN - BOX) / 2, y + ROW), *corners)
        for i, text in enumerate(
            (f"average pool\n{shapes['avgpool']}", f"fc\n{shapes['fc']}"), start=row[-1]
        ):
            draw_arrow(axes, (COLUMN * (i - 1) + BOX / 2, y), (COLUMN * i - BOX / 2, y))
            draw_box(axes, COLUMN * i, y, text, "black")
        axes.plot([], [], **SOLID, label="shortcut: x as it is")
        axes.plot([], [], **DASHED, label="shortcut: x through a 1 x 1 convolution")
        axes.legend(loc="upper right", fontsize=11, title="/ 2: with stride 2")
        axes.set(xlim=(-1.5, 5.5 * COLUMN + 0.2), ylim=(-4 * ROW - 1.3, 0.9))
        axes.axis("off")
    for name, block in net.named_modules():
        if getattr(block, "downsample", None) is not None:
            conv = block.downsample[0]
            print(
                f"dashed: {name}, 1 x 1, {conv.in_channels} to {conv.out_channels} channels, stride {conv.stride[0]}"
            )


if __name__ == "__main__":
    run(main)
