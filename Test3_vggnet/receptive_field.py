"""Draw which inputs one output rests on, after one, two and three 3x3 convolutions and in each layer of VGG16.

python receptive_field.py           # writes receptive_field.png
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from helpers import HERE, run
from model import cfgs
from plots import new_figure

if (
    TYPE_CHECKING
):  # when the script runs, plots.py imports matplotlib, and copes with a wrong MPLBACKEND
    from matplotlib.axes import Axes

BLUE, ORANGE = "#0072b2", "#d55e00"


def receptive_fields(cfg: list[int | str]) -> list[int]:
    """Height and width, in pixels of the image, of what one output of each layer of a list of `cfgs` rests on.

    Each layer adds (kernel - 1) steps, and a step is as wide as the product of the strides before the layer.
    """
    field, step, fields = 1, 1, []
    for v in cfg:
        kernel, stride = (2, 2) if v == "M" else (3, 1)
        field += (kernel - 1) * step
        step *= stride
        fields.append(field)
    return fields


def draw_stack(axes: "Axes", layers: int) -> None:
    """One output on top, and below it, layer by layer, a row of the values that it rests on, down to the input."""
    fields = [1, *receptive_fields([64] * layers)]
    for depth, width in enumerate(fields):
        y = -1.6 * depth
        for x in range(-4, 5):
            inside = abs(x) <= width // 2
            axes.bar(x, 0.7, 1, bottom=y, facecolor=BLUE if inside else "white", edgecolor="0.4")
        if depth < layers:
            below = fields[depth + 1] / 2
            axes.fill(
                [-width / 2, width / 2, below, -below],
                [y, y, y - 0.9, y - 0.9],
                color=BLUE,
                alpha=0.2,
                linewidth=0,
            )
            axes.text(4.8, y - 0.45, "3 x 3", va="center", fontsize=10)
    axes.text(4.8, 0.35, "output", va="center", fontsize=10)
    axes.text(4.8, -1.6 * layers + 0.35, "input", va="center", fontsize=10)
    weights = f"{9 * layers} C² weights"
    weights += f", not {fields[-1] ** 2} C²" if layers > 1 else ""
    title = (
        f"{layers} convolution{'s' * (layers > 1)}: {fields[-1]} x {fields[-1]} inputs\n{weights}"
    )
    axes.set_title(title, fontsize=11)
    axes.set(xlim=(-4.8, 6.8), ylim=(-1.6 * 3 - 0.1, 0.8))
    axes.axis("off")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model-name", choices=cfgs, default="vgg16", help="which VGG (default: %(default)s)"
    )
    parser.add_argument(
        "--save",
        type=Path,
        default=HERE / "receptive_field.png",
        help="file (default: %(default)s)",
    )
    args = parser.parse_args()

    cfg = cfgs[args.model_name]
    fields = receptive_fields(cfg)
    with new_figure(args.save, 9.5, 6.4) as figure:
        upper, lower = figure.subfigures(2, 1, height_ratios=[1, 1.2])
        for axes, layers in zip(upper.subplots(1, 3), (1, 2, 3), strict=True):
            draw_stack(axes, layers)
        axes = lower.subplots()
        conv, pool = 0, 0
        names = []
        for i, (v, field) in enumerate(zip(cfg, fields, strict=True)):
            is_pool = v == "M"
            conv, pool = conv + (not is_pool), pool + is_pool
            names.append("max\npool" if is_pool else f"conv\n{v}")
            kind = f"max pool {pool}" if is_pool else f"convolution {conv}"
            print(f"{kind:14}: {field} x {field} pixels")
            hatch = (
                {"color": ORANGE, "hatch": "//", "edgecolor": "white"}
                if is_pool
                else {"color": BLUE}
            )
            axes.bar(i, field, **hatch)
            axes.annotate(str(field), (i, field), ha="center", va="bottom", fontsize=10)
        axes.hlines(224, -0.6, len(names) - 1.6, color="0.4", linestyle="--")
        axes.annotate("the image: 224", (-0.4, 226), va="bottom", fontsize=11)
        axes.set_title(
            f"{args.model_name}: height and width, in pixels, of what one output rests on",
            fontsize=12,
        )
        axes.set_xticks(range(len(names)), names, fontsize=9)
        axes.set(xlim=(-0.6, len(names) - 0.4), ylim=(0, 1.1 * max(224, *fields)), ylabel="pixels")
        axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    run(main)
