"""Draw how many values leave each of AlexNet's layers, and how many parameters it has.

python draw_layers.py               # writes layers.png

Both axes are logarithmic: each line of the grid is a hundred times the one below it.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import nn

from helpers import HERE, run
from model import AlexNet
from plots import new_figure

KINDS = {nn.Conv2d: "conv", nn.MaxPool2d: "max pool", nn.Linear: "linear"}
COLORS = {nn.Conv2d: "#0072b2", nn.MaxPool2d: "#d55e00", nn.Linear: "#009e73"}


def count(modules: Iterable[nn.Module]) -> int:
    """The number of parameters of all the modules."""
    return sum(p.numel() for module in modules for p in module.parameters())


def describe(layer: nn.Module, shape: torch.Size) -> str:
    """What a layer is and the shape of what leaves it, in three short lines."""
    if len(shape) == 1:  # a linear layer's values
        return f"{KINDS[type(layer)]}\n{shape[0]:,}\n"
    channels, height, width = shape
    return f"{KINDS[type(layer)]}\n{channels} x\n{height} x {width}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--save", type=Path, default=HERE / "layers.png", help="file (default: %(default)s)"
    )
    args = parser.parse_args()

    net = AlexNet(num_classes=5).eval()
    layers = [layer for layer in net.modules() if type(layer) in KINDS]
    shapes: dict[nn.Module, torch.Size] = {}  # of what leaves each layer, without the batch

    def note_shape(layer: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        shapes[layer] = output.shape[1:]

    for layer in layers:
        layer.register_forward_hook(note_shape)
    with torch.no_grad():
        net(torch.zeros(1, 3, 224, 224))

    with new_figure(args.save, 8.3, 5.4) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True)
        for i, layer in enumerate(layers):
            values = shapes[layer].numel()
            parameters = count([layer])
            for axes, height in ((upper, values), (lower, parameters)):
                axes.bar(i, height, color=COLORS[type(layer)])
                top = max(height, 1)  # a logarithmic axis has no 0
                axes.text(i, top, f"{height:,}", ha="center", va="bottom", fontsize=9)
        upper.set_ylabel("values that come out (log scale)")
        lower.set_ylabel("parameters (log scale)")
        for axes in (upper, lower):
            axes.set(yscale="log", ylim=(1, 1e8))
            axes.set_yticks([1, 100, 10_000, 1_000_000])
            axes.yaxis.set_major_formatter("{x:,.0f}")
            axes.minorticks_off()
            axes.margins(x=0.01)
            axes.grid(axis="y", alpha=0.3)
            axes.set_axisbelow(True)
            axes.spines[["top", "right"]].set_visible(False)
        names = [describe(layer, shapes[layer]) for layer in layers]
        lower.set_xticks(range(len(names)), names, fontsize=9)

    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    linear_layers = [layer for layer in layers if isinstance(layer, nn.Linear)]
    print(
        f"{count([net]):,} parameters: {count(convolutions):,} in the convolutions, "
        f"{count(linear_layers):,} in the linear layers"
    )


if __name__ == "__main__":
    run(main)
