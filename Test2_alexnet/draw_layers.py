"""Draw the sizes of AlexNet's layers, from the image to the classes, as the code has them.

python draw_layers.py               # writes layers.png
"""

import argparse
from pathlib import Path

import utils  # first, because torch loads faster after it

import torch
from matplotlib.figure import Figure
from torch import nn

from model import AlexNet

HERE = Path(__file__).resolve().parent
COLORS = {nn.Conv2d: "#0072b2", nn.MaxPool2d: "#e69f00", nn.Linear: "#009e73"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=utils.HelpFormatter)
    parser.add_argument("--save", type=utils.figure, default=HERE / "layers.png", help="file to draw to")
    args = parser.parse_args()

    net = AlexNet(num_classes=5).eval()
    layers: list[tuple[nn.Module, torch.Size]] = []
    for layer in net.modules():
        if type(layer) in COLORS:
            layer.register_forward_hook(lambda layer, _, out: layers.append((layer, out.shape[1:])))
    with torch.inference_mode():
        net(torch.zeros(1, 3, 224, 224))

    figure = Figure(figsize=(13, 4.8), layout="constrained")
    values, parameters = figure.subplots(2, 1, sharex=True)
    names = []
    for i, (layer, shape) in enumerate(layers):
        kind = {nn.Conv2d: "conv", nn.MaxPool2d: "max pool", nn.Linear: "linear"}[type(layer)]
        names.append(f"{kind}\n" + " x ".join(map(str, shape)))
        count = sum(p.numel() for p in layer.parameters())
        values.bar(i, shape.numel(), color=COLORS[type(layer)])
        values.annotate(f"{shape.numel():,}", (i, shape.numel()), ha="center", va="bottom", fontsize=9)
        parameters.bar(i, count, color=COLORS[type(layer)])
        parameters.annotate(f"{count:,}", (i, count), ha="center", va="bottom", fontsize=9)
    values.set(ylabel="values that come out")
    parameters.set(ylabel="parameters")
    for axes in (values, parameters):
        axes.margins(y=0.18)
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.spines[["top", "right"]].set_visible(False)
    parameters.set_xticks(range(len(names)), names, fontsize=9)
    figure.suptitle("AlexNet: the convolutions make most of the values, the linear layers hold most of the parameters")
    utils.save_figure(figure, args.save)
    print(f"drawn in {args.save}")


if __name__ == "__main__":
    utils.run(main)
