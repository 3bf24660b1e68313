"""Draw five optimizers of torch.optim descending the same valley: their paths, and the loss at each step.

python optimizers.py                # writes optimizers.png
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import utils  # first, because torch loads faster after it

import torch
from matplotlib.figure import Figure
from torch import optim

HERE = Path(__file__).resolve().parent
START = (-7.0, 2.0)
STEPS = 40

# name: (the optimizer over a list of parameters, the colour and the mark of its path)
OPTIMIZERS: dict[str, tuple[Callable, str, str]] = {
    "SGD, lr 0.95": (lambda params: optim.SGD(params, lr=0.95), "#000000", "o"),
    "SGD with momentum 0.9, lr 0.1": (lambda params: optim.SGD(params, lr=0.1, momentum=0.9), "#d55e00", "s"),
    "Adagrad, lr 1.5": (lambda params: optim.Adagrad(params, lr=1.5), "#0072b2", "^"),
    "RMSProp, lr 0.3": (lambda params: optim.RMSprop(params, lr=0.3), "#009e73", "D"),
    "Adam, lr 0.5": (lambda params: optim.Adam(params, lr=0.5), "#cc79a7", "v"),
}


def valley(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """A long valley along x with steep sides along y; its lowest point is (0, 0)."""
    return x**2 / 20 + y**2


def descend(make_optimizer: Callable) -> tuple[list[float], list[float], list[float]]:
    """The x, the y and the loss of every step from START."""
    point = [torch.tensor(value, requires_grad=True) for value in START]
    optimizer = make_optimizer(point)
    xs, ys, losses = [], [], []
    for _ in range(STEPS + 1):
        loss = valley(*point)
        xs.append(point[0].item())
        ys.append(point[1].item())
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return xs, ys, losses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=utils.HelpFormatter)
    parser.add_argument("--save", type=utils.figure, default=HERE / "optimizers.png", help="file to draw to")
    args = parser.parse_args()

    figure = Figure(figsize=(13, 5), layout="constrained")
    path_axes, loss_axes = figure.subplots(1, 2, width_ratios=[1.4, 1])
    x, y = torch.meshgrid(torch.linspace(-8, 4, 200), torch.linspace(-3, 3, 200), indexing="xy")
    path_axes.contour(x.numpy(), y.numpy(), valley(x, y).numpy(), levels=[0.05, 0.3, 1, 2, 3.5, 6, 9], colors="0.75")
    for name, (make_optimizer, color, mark) in OPTIMIZERS.items():
        xs, ys, losses = descend(make_optimizer)
        path_axes.plot(xs, ys, color=color, marker=mark, markersize=4, linewidth=1, label=name)
        loss_axes.plot(losses, color=color, marker=mark, markersize=4, linewidth=1, markevery=4)
    path_axes.plot(*START, marker="X", markersize=11, color="0.3")
    path_axes.annotate("start", START, xytext=(-6.9, 2.35))
    path_axes.plot(0, 0, marker="*", markersize=15, color="0.3")
    path_axes.set(title="x²/20 + y²: a long valley with steep sides", xlabel="x", ylabel="y")
    path_axes.set(xlim=(-8, 4), ylim=(-3, 3))
    path_axes.legend(loc="lower right", fontsize=9)
    loss_axes.set(title="loss at each step", xlabel="step", yscale="log", ylim=(1e-6, 10))
    loss_axes.grid(alpha=0.3)
    utils.save_figure(figure, args.save)
    print(f"drawn in {args.save}")


if __name__ == "__main__":
    utils.run(main)
