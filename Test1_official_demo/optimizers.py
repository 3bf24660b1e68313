"""Draw five optimizers of torch.optim on a saddle and in a noisy valley, and how their steps grow or shrink.

python optimizers.py                # writes optimizers.png

Each learning rate is such that all first steps, without noise, are equally long. In the valley noise is added to the
gradient, as the gradient of a batch differs from that of all images: what is printed there is the mean of 20 runs.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import optim

from helpers import HERE, run
from plots import new_figure

if (
    TYPE_CHECKING
):  # when the script runs, plots.py imports matplotlib, and copes with a wrong MPLBACKEND
    from matplotlib.axes import Axes

OPTIMIZERS = {  # name: the optimizer, its options, and the colour and the style of its line
    "SGD": (optim.SGD, {}, "#000000", "-"),
    "momentum": (optim.SGD, {"momentum": 0.9}, "#d55e00", "--"),
    "Adagrad": (optim.Adagrad, {}, "#0072b2", "-."),
    "RMSProp": (optim.RMSprop, {}, "#009e73", (0, (5, 1, 1, 1, 1, 1))),
    "Adam": (optim.Adam, {}, "#cc79a7", ":"),
}
RUNS = 20
LEVELS = (0.05, 0.25, 0.6, 1.1, 1.6, 2.2)  # of the lines of equal loss; 0.25 is that of the saddle


def saddle(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """At (0, 0), the saddle, the gradient is 0 and the loss 0.25. The lowest points, with a loss of 0, are (0, ±1)."""
    return x**2 / 2 + (y**2 - 1) ** 2 / 4


def valley(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Steep sides, and a floor that falls gently, by 0.2 per unit of x, to the lowest point (0, 0)."""
    return 0.2 * ((1 + x**2).sqrt() - 1) + y**2 / 2


def plane(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The same gradient everywhere."""
    return x + y


# each surface with the start, the length of the first step, the number of steps and the noise's standard deviation
SADDLE = (saddle, (-1.5, 0.001), 0.1, 300, 0.0)
VALLEY = (valley, (-10.0, 1.0), 0.25, 1000, 0.3)
PLANE = (plane, (0.0, 0.0), 1.0, 1000, 0.0)


def descend(
    name: str, lr: float, surface: Callable, start: tuple[float, float], steps: int, noise: float
) -> torch.Tensor:
    """The points of RUNS descents, [steps + 1, 2, RUNS]. The noise is the same for every optimizer."""
    generator = torch.Generator().manual_seed(0)
    points = torch.tensor(start)[:, None].repeat(1, RUNS).requires_grad_()
    make_optimizer, options, *_ = OPTIMIZERS[name]
    optimizer = make_optimizer([points], lr=lr, **options)
    paths = [points.detach().clone()]
    for _ in range(steps):
        optimizer.zero_grad()
        surface(*points).sum().backward()
        points.grad += noise * torch.randn(points.shape, generator=generator)
        optimizer.step()
        paths.append(points.detach().clone())
    return torch.stack(paths)


def with_first_step(
    name: str, surface: Callable, start: tuple[float, float], first: float, steps: int, noise: float
) -> torch.Tensor:
    """What descend returns, with the learning rate that makes the first step `first` long."""
    start_point, end_point = descend(name, 1.0, surface, start, steps=1, noise=0.0)[:, :, 0]
    lr = (
        first / (end_point - start_point).norm().item()
    )  # in each of the five rules a step is proportional to lr
    print(f"{surface.__name__:6} {name:8} lr {lr:.4f}: ", end="")
    return descend(name, lr, surface, start, steps, noise)


def describe_saddle(loss: torch.Tensor) -> str:
    """How long the descent [steps + 1] took over the flat place and to the bottom."""
    flat = int(((loss > 0.24) & (loss < 0.26)).sum())
    return f"{flat} steps at a loss between 0.24 and 0.26, below 0.01 after {int((loss < 0.01).nonzero()[0])} steps"


def describe_valley(paths: torch.Tensor) -> str:
    """How the descents went along the valley until they passed x = -1, and where they ended."""
    x, moves = paths[:, 0], paths.diff(dim=0)
    last = len(moves)
    passed = (x > -1).any(dim=0)
    arrival = torch.where(
        passed, (x > -1).int().argmax(dim=0), last
    )  # argmax: the first step that passes
    on_the_way = torch.arange(last)[:, None] < arrival  # [steps, RUNS]
    back = (moves[:, 0] < 0)[on_the_way].float().mean()
    walked = (moves.norm(dim=1) * on_the_way).sum(dim=0) / (x[arrival, range(RUNS)] - x[0])
    if passed.all():
        arrived = f"x = -1 is passed after {arrival.float().mean():.0f} ± {arrival.float().std():.0f} steps"
    else:
        arrived = f"{int(passed.sum())} of {RUNS} pass x = -1 in {last} steps"
    return (
        f"{arrived}; {back:.0%} of the steps lead back, {walked.mean():.1f} units are walked for each of x; in the "
        f"last 200 steps x is {x[-200:].mean():.1f} ± {x[-200:].std():.1f}, the loss "
        f"{valley(*paths[-200:].unbind(1)).mean():.3f}"
    )


def draw_path(
    axes: "Axes", surface: Callable, path: torch.Tensor, limits: tuple, color: str
) -> None:
    """Draw a path [steps + 1, 2] over the lines of equal loss."""
    left, right, low, high = limits
    x, y = torch.meshgrid(
        torch.linspace(left, right, 100), torch.linspace(low, high, 100), indexing="xy"
    )
    values = [values.numpy() for values in (x, y, surface(x, y))]
    axes.contour(*values, levels=LEVELS, colors="0.75", linewidths=0.7, antialiased=False)
    axes.plot(*path.T, color=color, linewidth=1.2)
    axes.plot(*path[0].tolist(), marker="X", markersize=9, color="black")
    axes.plot(0, 1 if surface is saddle else 0, marker="*", markersize=12, color="black")
    axes.set(xlim=(left, right), ylim=(low, high))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--save", type=Path, default=HERE / "optimizers.png", help="file (default: %(default)s)"
    )
    args = parser.parse_args()

    with new_figure(args.save, 8.4, 7.6) as figure:
        upper, lower = figure.subfigures(2, 1, height_ratios=[1.5, 1])
        saddles, valleys = upper.subplots(2, 5, sharex="row", sharey="row")
        saddle_axes, valley_axes, plane_axes = lower.subplots(1, 3)
        for i, (name, (_, _, color, style)) in enumerate(OPTIMIZERS.items()):
            line = {"color": color, "linestyle": style, "linewidth": 2, "label": name}

            path = with_first_step(name, *SADDLE)[:, :, 0]  # without noise all runs are the same
            loss = saddle(*path.T)
            print(describe_saddle(loss))
            draw_path(saddles[i], saddle, path, (-1.8, 1.2, -0.3, 1.4), color)
            saddles[i].set_title(name, color=color, fontweight="bold")
            saddle_axes.plot(loss, **line)

            paths = with_first_step(name, *VALLEY)
            print(describe_valley(paths))
            draw_path(valleys[i], valley, paths[:, :, 0], (-11, 4, -1.3, 1.3), color)
            valley_axes.plot(paths[:, 0].mean(dim=1), **line)

            lengths = with_first_step(name, *PLANE)[:, :, 0].diff(dim=0).norm(dim=1)
            print(
                "steps 1, 10, 100 and 1000 are {:.3f}, {:.3f}, {:.3f}, {:.3f} long".format(
                    *lengths[[0, 9, 99, 999]]
                )
            )
            plane_axes.plot(range(1, len(lengths) + 1), lengths, **line)

        saddles[0].set_ylabel("saddle", fontsize=12)
        saddles[0].annotate("start", (-1.65, -0.2))
        saddles[0].annotate("lowest", (-0.35, 1.25))
        valleys[0].set_ylabel("noisy valley", fontsize=12)
        saddle_axes.set(title="saddle: the loss", xlabel="step", ylim=(0, 0.8))
        saddle_axes.legend()
        valley_axes.set(title="valley: x, mean of 20 runs", xlabel="step")
        plane_axes.set(
            title="length of each step where\nthe gradient is always the same", xlabel="step"
        )
        plane_axes.set(xscale="log", yscale="log")
        for axis in (plane_axes.xaxis, plane_axes.yaxis):
            axis.set_major_formatter("{x:g}")
        for axes in (saddle_axes, valley_axes, plane_axes):
            axes.grid(alpha=0.3)


if __name__ == "__main__":
    run(main)
