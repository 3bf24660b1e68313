"""Draw VGG16 from left to right, to scale, with each block's sizes, parameters and work below it.

python draw_net.py                      # writes vgg16.png
python draw_net.py --model-name vgg19   # writes vgg19.png
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from helpers import HERE, run
from model import cfgs, vgg
from plots import new_figure

if TYPE_CHECKING:  # at run time plots.py imports matplotlib, and copes with a wrong MPLBACKEND
    from matplotlib.axes import Axes

COLORS = {nn.Conv2d: "#0072b2", nn.MaxPool2d: "#d55e00", nn.Linear: "#009e73"}
NAMES = {nn.Conv2d: "3 x 3 convolution", nn.MaxPool2d: "max pooling", nn.Linear: "linear layer"}
CHANNEL = 25  # so many channels are drawn as wide as a pixel of a map is high
GAP = 5  # between two outputs
HEADS = 125  # the room on the left, for the heads of the rows
COLUMN = 82  # the least room that a column has
ROW = 24  # the height of a row
HEAD_OF_ROW = ["layers", "channels", "map size", "after pooling", "parameters", "multiply-adds"]


def parameters(layers: list[nn.Module]) -> int:
    """The number of parameters of all the layers."""
    return sum(p.numel() for layer in layers for p in layer.parameters())


def multiply_adds(layer: nn.Module, shape: torch.Size) -> int:
    """Multiply-adds for one image: each weight is used once for every place of the output.

    shape: of the output, [channels, height, width] or [values]
    """
    if isinstance(layer, nn.MaxPool2d):
        return 0
    return layer.weight.numel() * shape[1:].numel()


def columns_of(net: nn.Module) -> list[list[nn.Module]]:
    """The layers by the columns they are drawn in: a block up to its pooling, or a linear layer."""
    columns: list[list[nn.Module]] = [[]]
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.Linear):
            columns[-1].append(layer)
        if isinstance(layer, nn.MaxPool2d | nn.Linear):
            columns.append([])
    return columns[:-1]


def describe(column: list[nn.Module], shapes: dict[nn.Module, torch.Size]) -> list[str]:
    """What stands below a column, row by row."""
    first, last = column[0], column[-1]
    layers = "linear"
    size = pooled = ""
    if isinstance(first, nn.Conv2d):
        layers = f"{len(column) - 1} conv"
        size = " x ".join(str(side) for side in shapes[first][1:])
        pooled = " x ".join(str(side) for side in shapes[last][1:])
    work = sum(multiply_adds(layer, shapes[layer]) for layer in column)
    return [
        layers,
        f"{shapes[first][0]:,}",
        size,
        pooled,
        f"{parameters(column):,}",
        f"{work / 1e6:,.0f} M" if work > 1e6 else f"{work:,}",
    ]


def draw_output(axes: "Axes", x: float, shape: torch.Size, color: str) -> float:
    """What leaves a layer, seen from the side: as high as a map, as wide as there are channels.

    Returns the x where it ends.
    """
    width = shape[0] / CHANNEL
    height = shape[1] if len(shape) == 3 else 1
    axes.bar(x + width / 2, height, width, facecolor=color, edgecolor=color, linewidth=1)
    return x + width


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model-name", choices=cfgs, default="vgg16", help="which VGG (default: %(default)s)"
    )
    parser.add_argument(
        "--save", type=Path, help="file of the picture (default: the model's name and .png)"
    )
    args = parser.parse_args()

    net = vgg(args.model_name, num_classes=5).eval()
    shapes: dict[nn.Module, torch.Size] = {}  # of what leaves each layer, without the batch

    def note_shape(layer: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        shapes[layer] = output.shape[1:]

    columns = columns_of(net)
    for column in columns:
        for layer in column:
            layer.register_forward_hook(note_shape)
    image = torch.zeros(1, 3, 224, 224)
    with torch.no_grad():
        net(image)

    with new_figure(args.save or HERE / f"{args.model_name}.png", 8.21, 4.3) as figure:
        axes = figure.subplots()
        print("  ".join(f"{text:>13}" for text in HEAD_OF_ROW))
        draw_output(axes, HEADS - 20, image.shape[1:], "black")
        axes.text(HEADS - 26, 112, "image\n3 x 224 x 224", ha="right", va="center")
        for row, text in enumerate(HEAD_OF_ROW):
            axes.text(0, -ROW * (row + 1), text, va="center")

        left = HEADS
        for column in columns:
            widths = [shapes[layer][0] / CHANNEL for layer in column]
            drawn = sum(widths) + GAP * (len(widths) - 1)
            room = max(COLUMN, drawn + 2 * GAP)
            x = left + (room - drawn) / 2
            for layer in column:
                x = draw_output(axes, x, shapes[layer], COLORS[type(layer)]) + GAP
            if column[0] is net.classifier[1]:
                text = f"flatten:\n{column[0].in_features:,} values"
                axes.text(left + room / 2, 10, text, ha="center", va="bottom")
            texts = describe(column, shapes)
            print("  ".join(f"{text:>13}" for text in texts))
            for row, text in enumerate(texts):
                axes.text(left + room / 2, -ROW * (row + 1), text, ha="center", va="center")
            left += room

        for kind, color in COLORS.items():
            axes.bar(0, 0, 0, color=color, label=f"output of a {NAMES[kind]}")
        title = "height: that of the maps\nwidth: channels, or values"
        axes.legend(loc="upper right", title=title, alignment="left")
        axes.set(xlim=(0, left), ylim=(-ROW * (len(HEAD_OF_ROW) + 0.6), 230))
        axes.axis("off")
    layers = [layer for column in columns for layer in column]
    work = sum(multiply_adds(layer, shapes[layer]) for layer in layers)
    print(f"all: {parameters(layers):,} parameters, {work / 1e6:,.0f} M multiply-adds")


if __name__ == "__main__":
    run(main)
