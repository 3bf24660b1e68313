"""Draw sigmoid, tanh and ReLU, and their derivatives, which a gradient is multiplied with.

python draw_activations.py          # writes activations.png
"""

import argparse
from pathlib import Path

import torch

from helpers import HERE, run
from plots import new_figure

ACTIVATIONS = {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "ReLU": torch.relu}
# blue, orange, green; each with its own kind of line, for who cannot tell the colours apart
STYLES = {"sigmoid": ("#0072b2", "-"), "tanh": ("#d55e00", "--"), "ReLU": ("#009e73", "-.")}
LAYERS = 5  # how often a gradient is multiplied with the derivative, in what is printed


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--save", type=Path, default=HERE / "activations.png", help="file (default: %(default)s)"
    )
    args = parser.parse_args()

    values, derivatives = {}, {}
    for name, activation in ACTIVATIONS.items():
        x = torch.linspace(-5, 5, 1001, requires_grad=True)
        y = activation(x)
        y.sum().backward()  # each y depends on its own x alone, so this is dy/dx at each x
        values[name], derivatives[name] = y.detach(), x.grad
        largest = x.grad.max().item()
        print(
            f"{name:7}  derivative at most {largest:.2f}, at x = 3 {x.grad[800]:.3f}; "
            f"at most {largest**LAYERS:.3g} after {LAYERS} layers"
        )

    x = x.detach()
    with new_figure(args.save, 8.3, 3.6) as figure:
        left, right = figure.subplots(1, 2)
        for axes, curves in ((left, values), (right, derivatives)):
            for name, curve in curves.items():
                color, line = STYLES[name]
                if axes is right and name == "ReLU":
                    curve = curve.where(x.abs() > 0.001, float("nan"))  # it jumps there
                axes.plot(x, curve, color=color, linestyle=line, linewidth=2, label=name)
            axes.set(xlabel="x", xlim=(-5, 5))
            axes.grid(alpha=0.3)
        left.set(title="activation", ylim=(-1.2, 3.2))
        left.legend(loc="upper left")
        right.set(title="its derivative", ylim=(-0.05, 1.1))
        right.axhline(0.25, color="gray", linewidth=1, linestyle=":")
        right.text(-4.8, 0.27, "0.25")


if __name__ == "__main__":
    run(main)
