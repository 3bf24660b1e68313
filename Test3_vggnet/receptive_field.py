"""Draw which inputs one output rests on: after one to three 3x3 convolutions, and in all of VGG16.

python receptive_field.py           # writes receptive_field.png
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from helpers import HERE, run
from model import cfgs
from plots import new_figure

if TYPE_CHECKING:  # at run time plots.py imports matplotlib, and copes with a wrong MPLBACKEND
    from matplotlib.axes import Axes

BLUE, ORANGE = "#0072b2", "#d55e00"


def receptive_fields(cfg: list[int | str]) -> list[int]:
    """Height and width, in pixels of the image, of what one output of each layer in `cfg` rests on.

    Each layer adds (kernel - 1) steps, and a step is as wide as the product of the strides before
    the layer.
    """
    field = 1
    step = 1
    fields = []
    for v in cfg:
        kernel, stride = (2, 2) if v == "M" else (3, 1)
        field += (kernel - 1) * step
        step *= stride
        fields.append(field)
    return fields


def draw_stack(axes: "Axes", layers: int) -> None:
    """One output on top, and below it, layer by layer, a row of the values that it rests on."""
    fields = [1, *receptive_fields([64] * layers)]
    for depth, width in enumerate(fields):
        y = -1.6 * depth
        for x in range(-4, 5):
            color = BLUE if abs(x) <= width // 2 else "white"
            axes.bar(x, 0.7, 1, bottom=y, facecolor=color, edgecolor="0.4")
        if depth < layers:
            half = width / 2
            half_below = fields[depth + 1] / 2
            corners_x = [-half, half, half_below, -half_below]
            corners_y = [y, y, y - 0.9, y - 0.9]
            axes.fill(corners_x, corners_y, color=BLUE, alpha=0.2, linewidth=0)
            axes.text(4.8, y - 0.45, "3 x 3", va="center", fontsize=10)
    axes.text(4.8, 0.35, "output", va="center", fontsize=10)
    axes.text(4.8, -1.6 * layers + 0.35, "input", va="center", fontsize=10)

    field = fields[-1]
    if layers == 1:
        title = f"1 convolution: {field} x {field} inputs\n9 C² weights"
    else:
        title = f"{layers} convolutions: {field} x {field} inputs\n"
        title += f"{9 * layers} C² weights, not {field**2} C²"
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
    with new_figure(args.save, 8.19, 6.2) as figure:
        upper, lower = figure.subfigures(2, 1, height_ratios=[1, 1.2])
        left, middle, right = upper.subplots(1, 3)
        draw_stack(left, 1)
        draw_stack(middle, 2)
        draw_stack(right, 3)

        axes = lower.subplots()
        convolutions = 0
        pools = 0
        names = []
        for i, field in enumerate(fields):
            if cfg[i] == "M":
                pools += 1
                kind = f"max pool {pools}"
                names.append("max\npool")
                axes.bar(i, field, color=ORANGE, hatch="//", edgecolor="white")
            else:
                convolutions += 1
                kind = f"convolution {convolutions}"
                names.append(f"conv\n{cfg[i]}")
                axes.bar(i, field, color=BLUE)
            axes.annotate(str(field), (i, field), ha="center", va="bottom", fontsize=10)
            print(f"{kind:14}: {field} x {field} pixels")
        axes.hlines(224, -0.6, len(names) - 1.6, color="0.4", linestyle="--")
        axes.annotate("the image: 224", (-0.4, 226), va="bottom", fontsize=11)
        title = f"{args.model_name}: height and width, in pixels, of what one output rests on"
        axes.set_title(title, fontsize=12)
        axes.set_xticks(range(len(names)), names, fontsize=9)
        axes.set(xlim=(-0.6, len(names) - 0.4), ylim=(0, 1.1 * max(224, *fields)), ylabel="pixels")
        axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    run(main)
