"""Draw how the signal's size changes with depth before training: Xavier's start, and Kaiming's.

python signal_by_depth.py           # writes signal_by_depth.png, of VGG19

Xavier's is the lesson's. What goes in is noise of about the size that a normalised photo has, so
that the picture depends on the weights alone.
"""

import argparse
from pathlib import Path

import torch
from torch import nn

from helpers import HERE, run
from model import cfgs, vgg
from plots import new_figure

KAIMING = "Kaiming: variance 2 / fan in"
XAVIER = "Xavier: variance 2 / (fan in + fan out)"
COLORS = {KAIMING: "#0072b2", XAVIER: "#d55e00"}
STYLES = {KAIMING: "s-", XAVIER: "o--"}


def signal(model_name: str, seed: int, start: str) -> tuple[list[float], float]:
    """The root mean square of what leaves each convolution and each linear layer, and the loss.

    What goes in are four pictures of noise; their classes are said to be 0, 1, 2 and 3.
    """
    torch.manual_seed(seed)
    net = vgg(model_name, num_classes=5, init_weights=True).eval()  # Xavier's start
    sizes: list[float] = []

    def note_size(layer: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        sizes.append(output.square().mean().sqrt().item())

    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            if start == KAIMING:
                nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
            layer.register_forward_hook(note_size)
    with torch.no_grad():
        logits = net(0.5 * torch.randn(4, 3, 224, 224))
    loss = nn.functional.cross_entropy(logits, torch.arange(4))
    return sizes, loss.item()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model-name", choices=cfgs, default="vgg19", help="which VGG (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="for the weights and the noise (default: %(default)s)"
    )
    parser.add_argument(
        "--save",
        type=Path,
        default=HERE / "signal_by_depth.png",
        help="file (default: %(default)s)",
    )
    args = parser.parse_args()

    convolutions = len([v for v in cfgs[args.model_name] if v != "M"])
    with new_figure(args.save, 9, 4.6) as figure:
        axes = figure.subplots()
        for start in (KAIMING, XAVIER):
            sizes, loss = signal(args.model_name, args.seed, start)
            depths = range(1, len(sizes) + 1)
            axes.plot(depths, sizes, STYLES[start], color=COLORS[start], label=start)
            print(
                f"{start}: {sizes[0]:.3g} after the first convolution, "
                f"{sizes[convolutions - 1]:.3g} after the last, "
                f"{sizes[-1]:.3g} after the last linear layer; loss {loss:.3f}"
            )
        axes.axvline(convolutions + 0.5, color="0.6", linestyle=":")
        transform = axes.get_xaxis_transform()  # y in 0..1, from the bottom to the top
        x = convolutions + 0.6
        axes.text(x, 0.5, "linear layers", fontsize=11, transform=transform)
        axes.set_title(f"{args.model_name} before training: the signal's size by depth")
        axes.set(yscale="log", xlabel="layer", ylabel="root mean square of the output")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend(loc="lower left", fontsize=11)


if __name__ == "__main__":
    run(main)
