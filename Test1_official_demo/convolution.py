"""Draw a convolution with its numbers, and what stride and padding do to the size of its output.

python convolution.py               # writes convolution.png
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from helpers import HERE, run
from plots import new_figure

if TYPE_CHECKING:  # at run time plots.py imports matplotlib, and copes with a wrong MPLBACKEND
    from matplotlib.axes import Axes

BLUE, ORANGE = "#0072b2", "#d55e00"
# an upright edge: low values on the left, high ones on the right
IMAGE = torch.tensor(
    [
        [1, 0, 2, 5, 4],
        [0, 1, 3, 4, 5],
        [2, 0, 1, 5, 5],
        [1, 1, 2, 4, 5],
        [0, 2, 1, 5, 4],
    ]
)
KERNEL = torch.tensor(
    [
        [-1, 0, 1],
        [-1, 0, 1],
        [-1, 0, 1],
    ]
)


def convolve(stride: int = 1, padding: int = 0) -> torch.Tensor:
    """The output of KERNEL over IMAGE, [height, width], of size floor((n + 2p - f) / s) + 1."""
    image = IMAGE.float()[None, None]  # [1, 1, 5, 5]
    kernel = KERNEL.float()[None, None]  # [1, 1, 3, 3]
    output = F.conv2d(image, kernel, stride=stride, padding=padding)[0, 0].int()
    size = (len(IMAGE) + 2 * padding - len(KERNEL)) // stride + 1
    print(f"stride {stride}, padding {padding}: {size} x {size} outputs: {output.tolist()}")
    return output


def draw_grid(
    axes: "Axes", x: float, y: float, values: torch.Tensor, title: str, padding: int = 0
) -> None:
    """A grid of numbers, in `padding` rings of grey zeros, with its upper left corner at (x, y)."""
    values = F.pad(values, (padding, padding, padding, padding))
    height, width = values.shape
    for row in range(height):
        for column in range(width):
            inside = padding <= row < height - padding and padding <= column < width - padding
            color = "white" if inside else "0.85"
            middle = x + column + 0.5
            axes.bar(middle, 1, 1, bottom=y + row, facecolor=color, edgecolor="0.5")
            text = str(values[row, column].item())
            axes.text(middle, y + row + 0.5, text, ha="center", va="center", fontsize=11)
    axes.text(x + width / 2, y + height + 0.25, title, ha="center", va="top", fontsize=11)


def draw_window(axes: "Axes", x: float, y: float, size: int, color: str, style: str = "-") -> None:
    """A frame around `size` x `size` cells, whose upper left corner is at (x, y)."""
    middle = x + size / 2
    axes.bar(middle, size, size, bottom=y, facecolor=color, alpha=0.15)
    line = {"edgecolor": color, "linewidth": 3, "linestyle": style}
    axes.bar(middle, size, size, bottom=y, fill=False, **line)


def draw_one_output(axes: "Axes") -> None:
    """The image, the kernel and the output, and how the output in row 1, column 1 comes about."""
    draw_grid(axes, 0, 0, IMAGE, "input, 5 x 5")
    draw_grid(axes, 6.5, 1, KERNEL, "kernel, 3 x 3")
    draw_grid(axes, 11, 1, convolve(), "output, 3 x 3")
    draw_window(axes, 1, 1, 3, BLUE)
    draw_window(axes, 6.5, 1, 3, BLUE)
    draw_window(axes, 12, 2, 1, BLUE)
    axes.text(5.75, 2.5, "*", ha="center", va="center", fontsize=20)
    axes.text(10.25, 2.5, "=", ha="center", va="center", fontsize=20)

    window = IMAGE[1:4, 1:4]
    rows = []
    for row in range(3):
        products = []
        for column in range(3):
            weight = KERNEL[row, column].item()
            value = window[row, column].item()
            factor = f"({weight})" if weight < 0 else f"{weight}"
            products.append(f"{factor} · {value}")
        rows.append(" + ".join(products))
    text = "the frame, times the kernel:\n   " + "\n+ ".join(rows)
    text += f"\n= {(window * KERNEL).sum()}\n(a bias would be added here)"
    axes.text(15, 2.5, text, va="center", fontsize=11, linespacing=1.6)


def draw_size(axes: "Axes", x: float, y: float, stride: int, padding: int) -> None:
    """The first two places of the kernel, and the two outputs that come from them."""
    output = convolve(stride, padding)
    side = len(IMAGE) + 2 * padding
    output_side = len(output)
    output_x = x + side + 1.5
    output_y = y + (side - output_side) / 2
    draw_grid(axes, x, y, IMAGE, "", padding)
    draw_grid(axes, output_x, output_y, output, f"output, {output_side} x {output_side}")

    draw_window(axes, x, y, 3, BLUE)
    draw_window(axes, output_x, output_y, 1, BLUE)
    draw_window(axes, x + stride, y, 3, ORANGE, "--")
    draw_window(axes, output_x + 1, output_y, 1, ORANGE, "--")

    axes.text(x + side + 0.75, y + side / 2, "→", ha="center", va="center", fontsize=18)
    title = f"stride {stride}, padding {padding}:\n"
    title += f"⌊(5 + 2 · {padding} - 3) / {stride}⌋ + 1 = {output_side}"
    axes.text(x, y - 0.4, title, va="bottom", fontsize=11, linespacing=1.4)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--save", type=Path, default=HERE / "convolution.png", help="file (default: %(default)s)"
    )
    args = parser.parse_args()

    with new_figure(args.save, 8.25, 5.3) as figure:
        axes = figure.subplots()
        draw_one_output(axes)
        draw_size(axes, 0, 8.7, stride=2, padding=0)
        draw_size(axes, 10.5, 8.2, stride=1, padding=1)
        axes.set(xlim=(-0.2, 24.2), ylim=(15.4, -0.2), aspect="equal")
        axes.axis("off")


if __name__ == "__main__":
    run(main)
