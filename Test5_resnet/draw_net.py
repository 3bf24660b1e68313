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
from model import resnets
from plots import new_figure

if TYPE_CHECKING:  # at run time plots.py imports matplotlib, and copes with a wrong MPLBACKEND
    from matplotlib.axes import Axes

BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"
COLUMN, ROW, BOX = 2.6, 3.0, 1.9  # the width of a column, the height of a row, the width of a box
SOLID = {"color": GREEN, "linewidth": 2.5}
DASHED = {"color": ORANGE, "linewidth": 2.5, "linestyle": "--"}


def draw_box(axes: "Axes", column: int, y: float, text: str, color: str) -> None:
    """A box with a text, at y in a column."""
    x = COLUMN * column
    axes.bar(x, 1.4, BOX, bottom=y - 0.7, facecolor="white", edgecolor=color, linewidth=2)
    axes.text(x, y, text, ha="center", va="center", fontsize=8)


def draw_arrow(axes: "Axes", *points: tuple[float, float]) -> None:
    """An arrow along `points`, around corners where there are more than two."""
    xs = [x for x, _ in points]
    ys = [y for _, y in points]
    axes.plot(xs, ys, color="0.3", linewidth=1)
    head = {"arrowstyle": "-|>", "color": "0.3", "shrinkB": 0}
    axes.annotate("", points[-1], points[-2], arrowprops=head)


def draw_arrow_to_column(axes: "Axes", column: int, y: float) -> None:
    """An arrow to the box in a column from the one on its left."""
    start = COLUMN * (column - 1) + BOX / 2
    end = COLUMN * column - BOX / 2
    draw_arrow(axes, (start, y), (end, y))


def draw_arrow_to_row(axes: "Axes", y: float, boxes: int) -> None:
    """An arrow to the first box of the row at y from the last of the `boxes` in the row above."""
    right = COLUMN * (boxes - 0.5)
    left = -COLUMN / 2
    above = y + ROW
    between = y + 1.6
    draw_arrow(
        axes,
        (right - (COLUMN - BOX) / 2, above),
        (right, above),
        (right, between),
        (left, between),
        (left, y),
        (-BOX / 2, y),
    )


def draw_block(axes: "Axes", column: int, y: float, block: nn.Module) -> None:
    """A block's convolutions in a box, and around it its shortcut: dashed if that is one itself."""
    lines = []
    for layer in block.children():
        if isinstance(layer, nn.Conv2d):
            line = f"{layer.kernel_size[0]} x {layer.kernel_size[1]}, {layer.out_channels}"
            if layer.stride[0] == 2:
                line += ", / 2"
            lines.append(line)
    draw_box(axes, column, y, "\n".join(lines), BLUE)
    left = COLUMN * (column - 0.5) + 0.1
    right = COLUMN * (column + 0.5) - 0.1
    top = y + 1.1
    look = SOLID if block.downsample is None else DASHED
    axes.plot([left, left, right, right], [y, top, top, y], **look)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model-name",
        choices=["resnet18", "resnet34", "resnet50"],
        default="resnet34",
        help="which ResNet (default: %(default)s)",
    )
    parser.add_argument(
        "--save", type=Path, help="file of the picture (default: the model's name and .png)"
    )
    args = parser.parse_args()
    path = args.save or HERE / f"{args.model_name}.png"

    net = resnets[args.model_name](num_classes=5).eval()
    shapes: dict[nn.Module, str] = {}  # of what leaves each layer, without the batch

    def note_shape(layer: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        shapes[layer] = " x ".join(str(size) for size in output.shape[1:])

    for layer in net.children():
        layer.register_forward_hook(note_shape)
    with torch.no_grad():
        net(torch.zeros(1, 3, 224, 224))

    with new_figure(path, 8.2, 6.8) as figure:
        axes = figure.subplots()
        draw_box(axes, 0, 0, "image\n3 x 224 x 224", "black")
        draw_arrow_to_column(axes, 1, 0)
        draw_box(axes, 1, 0, f"conv1\n7 x 7, / 2\n{shapes[net.conv1]}", BLUE)
        draw_arrow_to_column(axes, 2, 0)
        draw_box(axes, 2, 0, f"max pool\n{shapes[net.maxpool]}", "black")

        y = 0.0
        boxes = 3  # in the row that the arrow comes from
        for name in ("layer1", "layer2", "layer3", "layer4"):
            y -= ROW
            layer = getattr(net, name)
            for column in range(1, len(layer)):
                draw_arrow_to_column(axes, column, y)
            for column, block in enumerate(layer):
                draw_block(axes, column, y, block)
            draw_arrow_to_row(axes, y, boxes)
            boxes = len(layer)
            text = f"{name}: {shapes[layer]}"
            axes.text(-BOX / 2, y - 1, text, va="center", fontsize=9.5)

        draw_arrow_to_column(axes, boxes, y)
        draw_box(axes, boxes, y, f"average pool\n{shapes[net.avgpool]}", "black")
        draw_arrow_to_column(axes, boxes + 1, y)
        draw_box(axes, boxes + 1, y, f"fc\n{shapes[net.fc]}", "black")
        axes.plot([], [], **SOLID, label="shortcut: x as it is")
        axes.plot([], [], **DASHED, label="shortcut: x through a 1 x 1 convolution")
        axes.legend(loc="upper right", fontsize=9.5, title="/ 2: with stride 2")
        axes.set(xlim=(-1.5, 5.5 * COLUMN + 0.2), ylim=(-4 * ROW - 1.3, 0.9))
        axes.axis("off")

    for name, module in net.named_modules():
        if getattr(module, "downsample", None) is not None:
            conv = module.downsample[0]
            print(
                f"dashed: {name}, 1 x 1, {conv.in_channels} to {conv.out_channels} channels, "
                f"stride {conv.stride[0]}"
            )


if __name__ == "__main__":
    run(main)
