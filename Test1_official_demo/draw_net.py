"""Draw LeNet from left to right, as the code builds it: the maps and values between its layers, and what each layer is.

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

if (
    TYPE_CHECKING
):  # when the script runs, plots.py imports matplotlib, and copes with a wrong MPLBACKEND
    from matplotlib.axes import Axes

BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"


def describe(name: str, layer: nn.Module) -> str:
    """A layer's name, its kernel and its number of parameters, in a line each."""
    kernel = getattr(layer, "kernel_size", None)
    side = kernel[0] if isinstance(kernel, tuple) else kernel
    kind = {
        nn.Conv2d: f"{side} x {side}",
        nn.MaxPool2d: f"max {side} x {side}",
        nn.Linear: "linear",
    }
    count = sum(p.numel() for p in layer.parameters())
    return f"{name}\n{kind[type(layer)]}\n{count:,}"


def draw_values(axes: "Axes", x: float, shape: torch.Size, color: str) -> float:
    """Draw maps [channels, height, width] as a stack of sheets, or values [count] as a bar. Returns where it ends."""
    if len(shape) == 1:
        size = shape[0] / 40
        axes.bar(
            x + 0.12, size, 0.25, bottom=-size / 2, facecolor=color, alpha=0.6, edgecolor="black"
        )
        axes.text(x + 0.12, size / 2 + 0.15, str(shape[0]), ha="center", va="bottom", fontsize=11)
        return x + 0.25
    size = shape[1] / 14
    sheets = max(1, shape[0] // 4)  # as many as can be told apart
    for i in range(sheets):
        bottom = -size / 2 - 0.1 * i + 0.05 * sheets
        axes.bar(
            x + size / 2 + 0.1 * i,
            size,
            size,
            bottom=bottom,
            facecolor="white",
            edgecolor=color,
            linewidth=1.2,
        )
    right = x + 0.1 * (sheets - 1) + size
    text = " x ".join(map(str, shape))
    axes.text(
        (x + right) / 2,
        size / 2 + 0.05 * sheets + 0.15,
        text,
        ha="center",
        va="bottom",
        fontsize=11,
    )
    return right


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--save", type=Path, default=HERE / "lenet.png", help="file (default: %(default)s)"
    )
    args = parser.parse_args()

    net = LeNet().eval()
    shapes: dict[str, torch.Size] = {}
    for name, layer in net.named_children():
        layer.register_forward_hook(
            lambda _, __, out, name=name: shapes.update({name: out.shape[1:]})
        )
    with torch.no_grad():
        net(torch.zeros(1, 3, 32, 32))

    with new_figure(args.save, 10, 3.9) as figure:
        axes = figure.subplots()
        right = draw_values(axes, 0, torch.Size([3, 32, 32]), "black")
        for name, layer in net.named_children():
            color = {nn.Conv2d: BLUE, nn.MaxPool2d: ORANGE, nn.Linear: GREEN}[type(layer)]
            axes.annotate(
                "",
                (right + 1, 0),
                (right + 0.1, 0),
                arrowprops={"arrowstyle": "-|>", "color": color},
            )
            axes.text(
                right + 0.55,
                -1.9,
                describe(name, layer),
                ha="center",
                va="top",
                fontsize=11,
                color=color,
            )
            right = draw_values(axes, right + 1.1, shapes[name], color)
        axes.text(0, -1.9, "layer\nkernel\nparameters", va="top", fontsize=11)
        note = "ReLU after conv1, conv2, fc1 and fc2; pooling with stride 2; before fc1, flatten: 32 · 5 · 5 = 800 values"
        axes.text(right / 2, -3.2, note, ha="center", va="top", fontsize=11)
        axes.set(xlim=(-0.2, right + 0.3), ylim=(-3.6, 2), aspect="equal")
        axes.axis("off")
    print(f"{sum(p.numel() for p in net.parameters()):,} parameters")


if __name__ == "__main__":
    run(main)
