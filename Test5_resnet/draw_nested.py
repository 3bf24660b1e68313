"""Draw classes of functions, each larger than the one before: beside each other, and nested.

python draw_nested.py               # writes nested.png

What is drawn is an idea, nothing measured: the plane stands for all functions, the star for the
best one, and each outline for the functions that one net can compute with some choice of weights.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from helpers import HERE, run
from plots import new_figure

if TYPE_CHECKING:  # at run time plots.py imports matplotlib, and copes with a wrong MPLBACKEND
    from matplotlib.axes import Axes

COLORS = ("#0072b2", "#d55e00", "#009e73")  # from the smallest class to the largest
NAMES = ("shallow net", "deeper", "deepest")
STAR = (4.3, 2.5)
# of each class: x and y of its centre, half its width and half its height, and its tilt
NOT_NESTED = ((0.9, 0.5, 1.0, 0.8, 0.3), (1.9, 1.6, 1.5, 0.9, -0.5), (0.6, -1.2, 2.6, 1.3, 0.1))
NESTED = (
    (0.05, 0.35, 0.95, 0.75, 0.3),
    (0.5, 0.0, 1.8, 1.35, -0.4),
    (0.85, -0.05, 3.0, 2.35, 0.15),
)


def make_outline(
    x: float, y: float, half_width: float, half_height: float, tilt: float
) -> torch.Tensor:
    """The outline of a class, a tilted ellipse with a slight wave: points [721, 2]."""
    angle = torch.linspace(0, 2 * torch.pi, 721)
    wave = 1 + 0.05 * torch.sin(3 * angle)
    across, up = half_width * wave * torch.cos(angle), half_height * wave * torch.sin(angle)
    cos, sin = torch.cos(torch.tensor(tilt)), torch.sin(torch.tensor(tilt))
    return torch.stack([x + cos * across - sin * up, y + sin * across + cos * up], dim=1)


def draw_classes(axes: "Axes", classes: tuple[tuple[float, ...], ...], title: str) -> None:
    """The classes from the largest to the smallest, and in each the point nearest to the star."""
    star = torch.tensor(STAR)
    texts = []
    for shape, color, name in reversed(list(zip(classes, COLORS, NAMES, strict=True))):
        outline = make_outline(*shape)
        distances = (outline - star).norm(dim=1)
        best = outline[distances.argmin()]
        texts.append(f"{name} {distances.min():.1f}")
        axes.fill(*outline.T.tolist(), facecolor=color, alpha=0.15)
        axes.plot(*outline.T.tolist(), color=color, linewidth=2, label=name)
        axes.plot(*zip(best.tolist(), STAR, strict=True), ":", color=color, linewidth=2, zorder=3)
        axes.plot(*best.tolist(), "o", color=color, markersize=9, zorder=4)
    axes.plot(*STAR, "*", color="black", markersize=18, zorder=5)
    axes.set_title(title, fontsize=12)
    axes.set(xlim=(-2.3, 4.8), ylim=(-2.8, 3.1), aspect="equal", xticks=[], yticks=[])
    print(f"{title}: from the star, {', '.join(reversed(texts))}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--save", type=Path, default=HERE / "nested.png", help="file (default: %(default)s)"
    )
    args = parser.parse_args()

    with new_figure(args.save, 8.2, 4.0) as figure:
        left, right = figure.subplots(1, 2)
        draw_classes(left, NOT_NESTED, "plain nets: not nested")
        draw_classes(right, NESTED, "residual nets: nested")
        lines, names = left.get_legend_handles_labels()
        (star,) = right.plot([], [], "*", color="black", markersize=12)
        (dot,) = right.plot([], [], "o", color="0.4")
        figure.legend(
            [*reversed(lines), dot, star],
            [*reversed(names), "best of a class", "best of all functions"],
            loc="outside lower center",
            ncols=5,
            fontsize=10,
        )


if __name__ == "__main__":
    run(main)
