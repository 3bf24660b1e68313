"""Draw LeNet from left to right, as the code builds it: its layers, and what passes between them.

python draw_net.py                  # writes lenet.png
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from helpers import HERE, run
from model import LeNet
from plots import new_figure

if TYPE_CHECKING:  # at run time plots.py imports matplotlib, and copes with a wrong MPLBACKEND
    from matplotlib.axes import Axes

COLORS = {nn.Conv2d: "#0072b2", nn.MaxPool2d: "#d55e00", nn.Linear: "#009e73"}


def count(module: nn.Module) -> int:
    """The number of a module's parameters."""
    return sum(p.numel() for p in module.parameters())


def describe(name: str, layer: nn.Module) -> str:
    """A layer's name, its kernel and its number of parameters, in a line each."""
    if isinstance(layer, nn.Conv2d):
        kernel = f"{layer.kernel_size[0]} x {layer.kernel_size[1]}"
    elif isinstance(layer, nn.MaxPool2d):
        kernel = f"max {layer.kernel_size} x {layer.kernel_size}"
    else:
        kernel = "linear"
    return f"{name}\n{kernel}\n{count(layer):,}"


def draw_maps(axes: "Axes", x: float, shape: torch.Size, color: str) -> float:
    """Draw maps [channels, height, width] as a stack of sheets. Returns the x where it ends."""
    channels, height, width = shape
    size = height / 14
    sheets = max(1, channels // 4)  # as many as can be told apart
    look = {"facecolor": "white", "edgecolor": color, "linewidth": 1.2}
    for i in range(sheets):
        bottom = -size / 2 - 0.1 * i + 0.05 * sheets
        axes.bar(x + size / 2 + 0.1 * i, size, size, bottom=bottom, **look)
    right = x + 0.1 * (sheets - 1) + size
    top = size / 2 + 0.05 * sheets
    text = f"{channels} x {height} x {width}"
    axes.text((x + right) / 2, top + 0.15, text, ha="center", va="bottom", fontsize=11)
    return right


def draw_vector(axes: "Axes", x: float, length: int, color: str) -> float:
    """Draw a vector as a bar. Returns the x where it ends."""
    size = length / 40
    look = {"facecolor": color, "alpha": 0.6, "edgecolor": "black"}
    axes.bar(x + 0.12, size, 0.25, bottom=-size / 2, **look)
    axes.text(x + 0.12, size / 2 + 0.15, str(length), ha="center", va="bottom", fontsize=11)
    return x + 0.25


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--save", type=Path, default=HERE / "lenet.png", help="file (default: %(default)s)"
    )
    args = parser.parse_args()

    net = LeNet().eval()
    shapes: dict[nn.Module, torch.Size] = {}  # of what leaves each layer, without the batch

    def note_shape(layer: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        shapes[layer] = output.shape[1:]

    for layer in net.children():
        layer.register_forward_hook(note_shape)
    with torch.no_grad():
        net(torch.zeros(1, 3, 32, 32))

    with new_figure(args.save, 10, 3.9) as figure:
        axes = figure.subplots()
        right = draw_maps(axes, 0, torch.Size([3, 32, 32]), "black")
        for name, layer in net.named_children():
            color = COLORS[type(layer)]
            arrow = {"arrowstyle": "-|>", "color": color}
            axes.annotate("", (right + 1, 0), (right + 0.1, 0), arrowprops=arrow)
            text = describe(name, layer)
            axes.text(right + 0.55, -1.9, text, ha="center", va="top", fontsize=11, color=color)
            shape = shapes[layer]
            if len(shape) == 3:
                right = draw_maps(axes, right + 1.1, shape, color)
            else:
                right = draw_vector(axes, right + 1.1, shape[0], color)
        axes.text(0, -1.9, "layer\nkernel\nparameters", va="top", fontsize=11)
        note = (
            "ReLU after conv1, conv2, fc1 and fc2; pooling with stride 2; "
            "before fc1, flatten: 32 · 5 · 5 = 800 values"
        )
        axes.text(right / 2, -3.2, note, ha="center", va="top", fontsize=11)
        axes.set(xlim=(-0.2, right + 0.3), ylim=(-3.6, 2), aspect="equal")
        axes.axis("off")
    print(f"{count(net):,} parameters")


if __name__ == "__main__":
    run(main)
