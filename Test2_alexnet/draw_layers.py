"""Draw how many values leave each of AlexNet's layers, and how many parameters it has.

python draw_layers.py               # writes layers.png
"""

import argparse
from pathlib import Path

import torch
from torch import nn

from helpers import HERE, run
from model import AlexNet
from plots import new_figure

KINDS = {
    nn.Conv2d: ("conv", "#0072b2"),
    nn.MaxPool2d: ("max pool", "#d55e00"),
    nn.Linear: ("linear", "#009e73"),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--save", type=Path, default=HERE / "layers.png", help="file (default: %(default)s)"
    )
    args = parser.parse_args()

    net = AlexNet(num_classes=5).eval()
    layers: list[tuple[nn.Module, torch.Size]] = []
    for layer in net.modules():
        if type(layer) in KINDS:
            layer.register_forward_hook(lambda layer, _, out: layers.append((layer, out.shape[1:])))
    with torch.no_grad():
        net(torch.zeros(1, 3, 224, 224))

    with new_figure(args.save, 10, 5.4) as figure:
        values, parameters = figure.subplots(2, 1, sharex=True)
        names = []
        for i, (layer, shape) in enumerate(layers):
            kind, color = KINDS[type(layer)]
            channels, *size = shape
            names.append(
                "\n".join([kind, f"{channels:,}" + " x" * bool(size), " x ".join(map(str, size))])
            )
            counts = (shape.numel(), sum(p.numel() for p in layer.parameters()))
            for axes, count in zip((values, parameters), counts, strict=True):
                axes.bar(i, count, color=color)
                axes.annotate(f"{count:,}", (i, count), ha="center", va="bottom", fontsize=10)
        values.set(ylabel="values that come out")
        parameters.set(ylabel="parameters")
        for axes in (values, parameters):
            axes.margins(x=0.01, y=0.15)
            axes.yaxis.set_major_formatter("{x:,.0f}")
            axes.spines[["top", "right"]].set_visible(False)
        parameters.set_xticks(range(len(names)), names)

    convs = [layer for layer, _ in layers if isinstance(layer, nn.Conv2d)]
    in_convs, in_all = (
        sum(p.numel() for layer in part for p in layer.parameters()) for part in (convs, [net])
    )
    print(
        f"{in_all:,} parameters: {in_convs:,} in the convolutions, {in_all - in_convs:,} in the linear layers"
    )


if __name__ == "__main__":
    run(main)
