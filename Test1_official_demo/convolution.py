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

if (
    TYPE_CHECKING
):  # when the script runs, plots.py imports matplotlib, and copes with a wrong MPLBACKEND
    from matplotlib.axes import Axes

BLUE, ORANGE = "#0072b2", "#d55e00"
# an upright edge: low values on the left, high ones on the right
IMAGE = torch.tensor(
    [[1, 0, 2, 5, 4], [0, 1, 3, 4, 5], [2, 0, 1, 5, 5], [1, 1, 2, 4, 5], [0, 2, 1, 5, 4]]
)
KERNEL = torch.tensor([[-1, 0, 1], [-1, 0, 1], [-1, 0, 1]])


def convolve(stride: int = 1, padding: int = 0) -> torch.Tensor:
    """The output of KERNEL over IMAGE, [height, width], whose size is floor((n + 2p - f) / s) + 1."""
    image, kernel = (
        IMAGE[None, None].float(),
        KERNEL[None, None].float(),
    )  # [1, 1, 5, 5] and [1, 1, 3, 3]
    output = F.conv2d(image, kernel, stride=stride, padding=padding)[0, 0].int()
    size = (len(IMAGE) + 2 * padding - len(KERNEL)) // stride + 1
    print(f"stride {stride}, padding {padding}: {size} x {size} outputs: {output.tolist()}")
    return output


def draw_grid(
    axes: "Axes", x: float, y: float, values: torch.Tensor, title: str, padding: int = 0
) -> None:
    """A grid of numbers with its upper left corner at (x, y), `padding` rings of grey zeros included."""
    values = F.pad(values, (padding,) * 4)
    height, width = values.shape
    for row in range(height):
        for column in range(width):
            inside = padding <= row < height - padding and padding <= column < width - padding
            color = "white" if inside else "0.85"
            axes.bar(x + column + 0.5, 1, 1, bottom=y + row, facecolor=color, edgecolor="0.5")
            text = str(values[row, column].item())
            axes.text(x + column + 0.5, y + row + 0.5, text, ha="center", va="center", fontsize=11)
    axes.text(x + width / 2, y + height + 0.25, title, ha="center", va="top", fontsize=11)


def draw_window(axes: "Axes", x: float, y: float, size: int, color: str, style: str = "-") -> None:
    """A frame around `size` x `size` cells."""
    axes.bar(x + size / 2, size, size, bottom=y, facecolor=color, alpha=0.15)
    axes.bar(
        x + size / 2,
        size,
        size,
        bottom=y,
        fill=False,
        edgecolor=color,
        linewidth=3,
        linestyle=style,
    )


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
    lines = [
        " + ".join(f"({k}) · {v}" if k < 0 else f"{k} · {v}" for k, v in zip(*rows, strict=True))
        for rows in zip(KERNEL.tolist(), window.tolist(), strict=True)
    ]
    text = "\n+ ".join(["the frame, times the kernel:\n   " + lines[0], *lines[1:]])
    text += f"\n= {(window * KERNEL).sum()}\n(a bias would be added here)"
    axes.text(15, 2.5, text, va="center", fontsize=11, linespacing=1.6)


def draw_size(axes: "Axes", x: float, y: float, stride: int, padding: int) -> None:
    """The first two places of the kernel, and the two outputs that come from them."""
    side, output = len(IMAGE) + 2 * padding, convolve(stride, padding)
    draw_grid(axes, x, y, IMAGE, "", padding)
    draw_grid(
        axes,
        x + side + 1.5,
        y + (side - len(output)) / 2,
        output,
        f"output, {len(output)} x {len(output)}",
    )
    for place, color, style in ((0, BLUE, "-"), (1, ORANGE, "--")):
        draw_window(axes, x + place * stride, y, 3, color, style)
        draw_window(axes, x + side + 1.5 + place, y + (side - len(output)) / 2, 1, color, style)
    axes.text(x + side + 0.75, y + side / 2, "→", ha="center", va="center", fontsize=18)
    title = f"stride {stride}, padding {padding}:\n⌊(5 + 2 · {padding} - 3) / {stride}⌋ + 1 = {len(output)}"
    axes.text(x, y - 0.4, title, va="bottom", fontsize=11, linespacing=1.4)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--save", type=Path, default=HERE / "convolution.png", help="file (default: %(default)s)"
    )
    args = parser.parse_args()

    with new_figure(args.save, 9, 6.4) as figure:
        axes = figure.subplots()
        draw_one_output(axes)
        draw_size(axes, 0, 9.5, stride=2, padding=0)
        draw_size(axes, 10.5, 8.8, stride=1, padding=1)
        axes.set(xlim=(-0.2, 24.2), ylim=(16.9, -0.2), aspect="equal")
        axes.axis("off")


if __name__ == "__main__":
    run(main)
