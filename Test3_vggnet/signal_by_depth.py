"""Draw how the signal's size changes with depth before training: Xavier's start, and Kaiming's.

python signal_by_depth.py           # writes signal_by_depth.png, of VGG19

Xavier's is the lesson's. A third line has Kaiming's start, and poolings that take the first of
four values, not the largest. What goes in is noise of about the size that a normalised photo has,
so that the picture depends on the net alone.
"""

import argparse
from pathlib import Path

import torch
from torch import nn

from helpers import HERE, run
from model import cfgs, vgg
from plots import new_figure

KAIMING = "Kaiming: variance 2 / fan in"
FIRST = "the same, but pooling takes the first of four"
XAVIER = "Xavier: variance 2 / (fan in + fan out)"
COLORS = {KAIMING: "#0072b2", FIRST: "#009e73", XAVIER: "#d55e00"}
STYLES = {KAIMING: "s-", FIRST: "^:", XAVIER: "o--"}


def root_mean_square(values: torch.Tensor) -> float:
    """The usual size of the values, whatever their signs."""
    return values.square().mean().sqrt().item()


def signal(model_name: str, seed: int, start: str) -> tuple[list[float], list[float], float]:
    """What becomes of four pictures of noise in a net that has not been trained.

    Returns:
        the root mean square of what leaves each convolution and each linear layer
        what each pooling multiplies it by
        the loss, if the pictures' classes are said to be 0, 1, 2 and 3
    """
    torch.manual_seed(seed)
    net = vgg(model_name, num_classes=5, init_weights=True).eval()  # Xavier's start
    sizes: list[float] = []
    factors: list[float] = []

    def note_size(layer: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        sizes.append(root_mean_square(output))

    def note_factor(layer: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        factors.append(root_mean_square(output) / root_mean_square(inputs[0]))

    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            if start != XAVIER:
                nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
            layer.register_forward_hook(note_size)
        elif isinstance(layer, nn.MaxPool2d):
            if start == FIRST:
                layer.kernel_size = 1  # still with stride 2
            layer.register_forward_hook(note_factor)
    with torch.no_grad():
        logits = net(0.5 * torch.randn(4, 3, 224, 224))
    loss = nn.functional.cross_entropy(logits, torch.arange(4))
    return sizes, factors, loss.item()


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

    cfg = cfgs[args.model_name]
    convolutions = len([v for v in cfg if v != "M"])
    with new_figure(args.save, 8.19, 4.6) as figure:
        axes = figure.subplots()
        for start in (KAIMING, FIRST, XAVIER):
            sizes, factors, loss = signal(args.model_name, args.seed, start)
            depths = range(1, len(sizes) + 1)
            axes.plot(depths, sizes, STYLES[start], color=COLORS[start], label=start)
            print(
                f"{start}: {sizes[0]:.3g} after the first convolution, "
                f"{sizes[convolutions - 1]:.3g} after the last, "
                f"{sizes[-1]:.3g} after the last linear layer; loss {loss:.3f}"
            )
            print(f"  the poolings multiply it by {', '.join(f'{f:.2f}' for f in factors)}")

        depth = 0
        for v in cfg:
            if v != "M":
                depth += 1
            elif depth < convolutions:
                axes.axvline(depth + 0.5, color="0.7", linewidth=1)
        axes.axvline(convolutions + 0.5, color="0.3", linewidth=1, linestyle="--")
        transform = axes.get_xaxis_transform()  # y in 0..1, from the bottom to the top
        text = "the last\npooling, then\nlinear layers"
        axes.text(convolutions + 0.6, 0.5, text, transform=transform)
        axes.set_title(f"{args.model_name} before training: the signal's size by depth")
        axes.plot([], [], color="0.7", linewidth=1, label="a pooling")
        axes.set(yscale="log", xlabel="layer", ylabel="root mean square of the output")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(loc="lower left")


if __name__ == "__main__":
    run(main)
