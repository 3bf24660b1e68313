"""Draw five optimizers on a saddle and in a noisy valley, and how their steps grow or shrink.

python optimizers.py                # writes optimizers.png and optimizers_valley.png

The first picture is the saddle, the second the valley and the length of the steps. Each learning
rate is such that all first steps, without noise, are equally long. In the valley noise is added to
the gradient, as the gradient of a batch differs from that of all images; what is printed there is
the mean of 20 runs.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import optim

from helpers import HERE, run
from plots import new_figure

if TYPE_CHECKING:  # at run time plots.py imports matplotlib, and copes with a wrong MPLBACKEND
    from matplotlib.axes import Axes

COLORS = {
    "SGD": "#000000",
    "momentum": "#d55e00",
    "Adagrad": "#0072b2",
    "RMSProp": "#009e73",
    "Adam": "#cc79a7",
}
LINE_STYLES = {
    "SGD": "-",
    "momentum": "--",
    "Adagrad": "-.",
    "RMSProp": (0, (5, 1, 1, 1, 1, 1)),  # a dash and two dots
    "Adam": ":",
}
RUNS = 20
LEVELS = (0.05, 0.25, 0.6, 1.1, 1.6, 2.2)  # of the lines of equal loss; 0.25 is that of the saddle


def make_optimizer(name: str, points: torch.Tensor, lr: float) -> optim.Optimizer:
    """The optimizer of that name. Apart from momentum, all options are PyTorch's defaults."""
    if name == "SGD":
        return optim.SGD([points], lr=lr)
    if name == "momentum":
        return optim.SGD([points], lr=lr, momentum=0.9)
    if name == "Adagrad":
        return optim.Adagrad([points], lr=lr)
    if name == "RMSProp":
        return optim.RMSprop([points], lr=lr)
    return optim.Adam([points], lr=lr)


def saddle(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """At the saddle (0, 0) the gradient is 0 and the loss 0.25. It is 0, its least, at (0, ±1)."""
    return x**2 / 2 + (y**2 - 1) ** 2 / 4


def valley(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Steep sides, and a floor that falls gently, by 0.2 per unit of x, to its lowest at (0, 0)."""
    return 0.2 * ((1 + x**2).sqrt() - 1) + y**2 / 2


def plane(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The same gradient everywhere."""
    return x + y


def descend(
    name: str, lr: float, surface: Callable, start: tuple[float, float], steps: int, noise: float
) -> torch.Tensor:
    """The points of RUNS descents, [steps + 1, 2, RUNS].

    `noise` is the standard deviation of what is added to the gradient: the same random numbers for
    every optimizer.
    """
    generator = torch.Generator().manual_seed(0)
    points = torch.tensor(start)[:, None].repeat(1, RUNS).requires_grad_()  # [2, RUNS]
    optimizer = make_optimizer(name, points, lr)
    paths = [points.detach().clone()]
    for _ in range(steps):
        optimizer.zero_grad()
        surface(points[0], points[1]).sum().backward()
        points.grad += noise * torch.randn(points.shape, generator=generator)
        optimizer.step()
        paths.append(points.detach().clone())
    return torch.stack(paths)


def find_lr(name: str, surface: Callable, start: tuple[float, float], first_step: float) -> float:
    """The learning rate that makes the first step `first_step` long."""
    path = descend(name, 1.0, surface, start, steps=1, noise=0.0)[:, :, 0]
    # in each of the five rules a step is proportional to lr
    return first_step / (path[1] - path[0]).norm().item()


def describe_saddle(loss: torch.Tensor) -> str:
    """How long the descent [steps + 1] took over the flat place and to the bottom."""
    flat = int(((loss > 0.24) & (loss < 0.26)).sum())
    down = int((loss < 0.01).nonzero()[0])
    return f"{flat} steps at a loss between 0.24 and 0.26, below 0.01 after {down} steps"


def describe_valley(paths: torch.Tensor) -> str:
    """How the descents went along the valley until they passed x = -1, and where they ended."""
    x = paths[:, 0]  # [steps + 1, RUNS]
    moves = paths.diff(dim=0)  # [steps, 2, RUNS]
    steps = len(moves)
    beyond = x > -1
    passed = beyond.any(dim=0)
    first = beyond.int().argmax(dim=0)  # the first step that is beyond
    arrival = torch.where(passed, first, steps)  # [RUNS]
    if passed.all():
        mean, deviation = arrival.float().mean(), arrival.float().std()
        arrived = f"x = -1 is passed after {mean:.0f} ± {deviation:.0f} steps"
    else:
        arrived = f"{int(passed.sum())} of {RUNS} pass x = -1 in {steps} steps"

    on_the_way = torch.arange(steps)[:, None] < arrival  # [steps, RUNS]
    back = (moves[:, 0] < 0)[on_the_way].float().mean()
    walked = (moves.norm(dim=1) * on_the_way).sum(dim=0)
    gained = x[arrival, range(RUNS)] - x[0]
    ratio = (walked / gained).mean()

    last = paths[-200:]
    last_x = last[:, 0]
    last_loss = valley(last[:, 0], last[:, 1]).mean()
    return (
        f"{arrived}; {back:.0%} of the steps lead back, {ratio:.1f} units are walked for each of "
        f"x; in the last 200 steps x is {last_x.mean():.1f} ± {last_x.std():.1f}, "
        f"the loss {last_loss:.3f}"
    )


def line_of(name: str) -> dict[str, object]:
    """How an optimizer's line is drawn."""
    style = {"color": COLORS[name], "linestyle": LINE_STYLES[name]}
    return {**style, "linewidth": 2, "label": name}


def draw_path(
    axes: "Axes",
    surface: Callable,
    path: torch.Tensor,
    limits: tuple[float, float, float, float],
    color: str,
) -> None:
    """Draw a path [steps + 1, 2] over the lines of equal loss. `limits`: left, right, low, high."""
    left, right, low, high = limits
    columns = torch.linspace(left, right, 100)
    rows = torch.linspace(low, high, 100)
    x, y = torch.meshgrid(columns, rows, indexing="xy")
    lines = {"colors": "0.75", "linewidths": 0.7, "antialiased": False}
    axes.contour(x.numpy(), y.numpy(), surface(x, y).numpy(), levels=LEVELS, **lines)
    axes.plot(path[:, 0], path[:, 1], color=color, linewidth=1.2)
    start_x, start_y = path[0].tolist()
    axes.plot(start_x, start_y, marker="X", markersize=9, color="black")
    lowest_y = 1 if surface is saddle else 0
    axes.plot(0, lowest_y, marker="*", markersize=12, color="black")
    axes.set(xlim=(left, right), ylim=(low, high))


def draw_saddle(save_path: Path) -> None:
    """Draw the five paths on the saddle, and the loss on them. No noise: one run is all."""
    with new_figure(save_path, 8.19, 4.9) as figure:
        upper, lower = figure.subfigures(2, 1, height_ratios=[1, 1])
        path_axes = upper.subplots(1, 5, sharex=True, sharey=True)
        loss_axes = lower.subplots()
        for axes, (name, color) in zip(path_axes, COLORS.items(), strict=True):
            start = (-1.5, 0.001)
            lr = find_lr(name, saddle, start, first_step=0.1)
            path = descend(name, lr, saddle, start, steps=300, noise=0.0)[:, :, 0]
            loss = saddle(path[:, 0], path[:, 1])
            print(f"saddle {name:8} lr {lr:.4f}: {describe_saddle(loss)}")
            draw_path(axes, saddle, path, (-1.8, 1.2, -0.3, 1.4), color)
            axes.set_title(name, color=color, fontweight="bold")
            loss_axes.plot(loss, **line_of(name))
        path_axes[0].annotate("start", (-1.65, -0.2))
        path_axes[0].annotate("lowest", (-0.35, 1.23))
        path_axes[0].annotate("saddle", (0.12, -0.05))
        loss_axes.axhline(0.25, color="0.5", linewidth=0.8)
        loss_axes.text(296, 0.26, "loss of the saddle point", ha="right", va="bottom")
        loss_axes.set(title="the loss", xlabel="step", ylim=(0, 0.8))
        loss_axes.legend(ncols=2)
        loss_axes.grid(alpha=0.3)


def draw_valley(save_path: Path) -> None:
    """Draw the five paths in the noisy valley, how far they get, and the length of the steps."""
    with new_figure(save_path, 8.19, 5.2) as figure:
        upper, lower = figure.subfigures(2, 1, height_ratios=[1, 1.2])
        path_axes = upper.subplots(1, 5, sharex=True, sharey=True)
        x_axes, length_axes = lower.subplots(1, 2)
        for axes, (name, color) in zip(path_axes, COLORS.items(), strict=True):
            start = (-10.0, 1.0)
            lr = find_lr(name, valley, start, first_step=0.25)
            paths = descend(name, lr, valley, start, steps=1000, noise=0.3)
            print(f"valley {name:8} lr {lr:.4f}: {describe_valley(paths)}")
            draw_path(axes, valley, paths[:, :, 0], (-11, 4, -1.3, 1.3), color)
            axes.set_title(name, color=color, fontweight="bold")
            x_axes.plot(paths[:, 0].mean(dim=1), **line_of(name))

            start = (0.0, 0.0)
            lr = find_lr(name, plane, start, first_step=1.0)
            path = descend(name, lr, plane, start, steps=1000, noise=0.0)[:, :, 0]
            lengths = path.diff(dim=0).norm(dim=1)  # [steps]
            print(
                f"plane  {name:8} lr {lr:.4f}: steps 1, 10, 100 and 1000 are {lengths[0]:.3f}, "
                f"{lengths[9]:.3f}, {lengths[99]:.3f}, {lengths[999]:.3f} long"
            )
            length_axes.plot(range(1, len(lengths) + 1), lengths, **line_of(name))
        title = f"the valley: x, mean of {RUNS} runs"
        x_axes.set(title=title, xlabel="step", ylim=(-14, 1.5))  # room for the legend
        x_axes.legend(loc="lower right", ncols=2)
        title = "no noise, the same gradient everywhere:\nlength of each step"
        length_axes.set(title=title, xlabel="step", xscale="log", yscale="log")
        length_axes.xaxis.set_major_formatter("{x:g}")
        length_axes.yaxis.set_major_formatter("{x:g}")
        for axes in (x_axes, length_axes):
            axes.grid(alpha=0.3)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--save",
        type=Path,
        default=HERE / "optimizers.png",
        help="file for the saddle; the valley's has _valley in its name (default: %(default)s)",
    )
    args = parser.parse_args()

    draw_saddle(args.save)
    draw_valley(args.save.with_stem(f"{args.save.stem}_valley"))


if __name__ == "__main__":
    run(main)
