"""Draw how the signal's size changes with depth in VGG19, at the start of training, under two initialisations.

python signal_by_depth.py           # writes signal_by_depth.png

What goes in is noise of the size that a normalised photo has: the picture depends on the weights alone.
"""

import argparse
from pathlib import Path

import utils  # first, because torch loads faster after it

import torch
from matplotlib.figure import Figure
from torch import nn

from model import cfgs, vgg

HERE = Path(__file__).resolve().parent


def spreads(model_name: str, init: str) -> list[float]:
    """The root mean square of what leaves each convolution and linear layer."""
    torch.manual_seed(0)
    net = vgg(model_name, num_classes=5, init_weights=True, init=init).eval()
    found: list[float] = []
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(lambda _, __, out: found.append(out.square().mean().sqrt().item()))
    with torch.inference_mode():
        net(0.5 * torch.randn(4, 3, 224, 224))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=utils.HelpFormatter)
    parser.add_argument("--model-name", choices=cfgs, default="vgg19", help="which of the VGG nets")
    parser.add_argument("--save", type=utils.figure, default=HERE / "signal_by_depth.png", help="file to draw to")
    args = parser.parse_args()

    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.subplots()
    labels = {"xavier": "Xavier: variance 2 / (fan in + fan out)", "he": "He: variance 2 / fan in"}
    for init, color, mark in (("xavier", "#d55e00", "o"), ("he", "#0072b2", "s")):
        values = spreads(args.model_name, init)
        axes.plot(range(1, len(values) + 1), values, color=color, marker=mark, label=labels[init])
        print(f"{init}: {values[0]:.3g} after the first layer, {values[-1]:.3g} after the last")
    axes.axvline(len(values) - 2.5, color="0.6", linestyle=":")
    axes.annotate("linear layers", (len(values) - 2.4, axes.get_ylim()[1] / 3), rotation=90, va="top", color="0.4")
    axes.set(yscale="log", xlabel="layer", ylabel="root mean square of the output")
    axes.set(title=f"{args.model_name} before training: ReLU halves the signal's power, He's weights make up for it")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left")
    utils.save_figure(figure, args.save)
    print(f"drawn in {args.save}")


if __name__ == "__main__":
    utils.run(main)
