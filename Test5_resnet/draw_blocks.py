"""Draw three residual blocks: one with a solid shortcut, one with a dashed one, and the bottleneck.

python draw_blocks.py               # writes blocks.png
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from helpers import HERE, run
from model import BasicBlock, Bottleneck, resnet34, resnet50
from plots import new_figure

if TYPE_CHECKING:  # at run time plots.py imports matplotlib, and copes with a wrong MPLBACKEND
    from matplotlib.axes import Axes

BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"


def weights(module: nn.Module) -> int:
    """The number of weights in a module's convolutions."""
    return sum(layer.weight.numel() for layer in module.modules() if isinstance(layer, nn.Conv2d))


def draw_arrow(axes: "Axes", start: float, end: float) -> None:
    """An arrow downwards at x = 0, from the y `start` to the y `end`."""
    look = {"arrowstyle": "-|>", "color": "0.3", "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (0, end), (0, start), arrowprops=look)


def draw_conv(axes: "Axes", x: float, y: float, conv: nn.Conv2d, color: str) -> None:
    """A convolution and its batch norm, in a box around (x, y)."""
    axes.bar(x, 1.2, 2.5, bottom=y - 0.6, facecolor="white", edgecolor=color, linewidth=2)
    text = f"conv {conv.kernel_size[0]} x {conv.kernel_size[1]}"
    if conv.stride[0] == 2:
        text += ", stride 2"
    text += f"\n{conv.in_channels} → {conv.out_channels}\nbatch norm"
    axes.text(x, y, text, ha="center", va="center", fontsize=9)


def draw_block(axes: "Axes", block: BasicBlock | Bottleneck, title: str) -> None:
    """The convolutions from top to bottom, which are F(x), and on their right the shortcut."""
    convs = [layer for layer in block.children() if isinstance(layer, nn.Conv2d)]
    axes.text(0.15, 0.1, f"x: {convs[0].in_channels} channels", fontsize=9.5)
    for i, conv in enumerate(convs):
        y = -1.2 - 2.1 * i
        draw_arrow(axes, y + 1.5, y + 0.6)
        if i > 0:
            axes.text(0.15, y + 1.05, "ReLU", va="center", fontsize=9.5)
        draw_conv(axes, 0, y, conv, BLUE)
    plus = y - 1.2
    draw_arrow(axes, y - 0.6, plus + 0.25)
    axes.text(0, plus, "+", ha="center", va="center", fontsize=17.5)
    draw_arrow(axes, plus - 0.25, plus - 1.0)

    if block.downsample is None:
        shortcut = "x"
        side, right = 1.8, 2.6  # where the shortcut runs, and where the picture ends
        look = {"color": GREEN, "linewidth": 2.5, "linestyle": "-"}
        text = {"va": "center", "rotation": 90, "fontsize": 9.5, "color": GREEN}
        axes.text(side + 0.1, plus / 2, "x as it is", **text)
    else:
        shortcut = "conv(x)"
        side, right = 2.9, 4.3
        look = {"color": ORANGE, "linewidth": 2.5, "linestyle": "--"}
        draw_conv(axes, side, plus / 2, block.downsample[0], ORANGE)
    axes.plot([0, side, side, 0.3], [-0.1, -0.1, plus, plus], zorder=0, **look)
    result = f"ReLU(F(x) + {shortcut})\n{convs[-1].out_channels} channels"
    axes.text(0.15, plus - 0.75, result, va="center", fontsize=9.5)
    axes.set_title(f"{title}\n{weights(block):,} weights", fontsize=10.5)
    axes.set(xlim=(-1.4, right), ylim=(-8, 0.5))
    axes.axis("off")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--save", type=Path, default=HERE / "blocks.png", help="file (default: %(default)s)"
    )
    args = parser.parse_args()

    basic = resnet34(num_classes=5)
    deep = resnet50(num_classes=5)
    blocks = {
        "ResNet34, layer1: solid": basic.layer1[1],
        "ResNet34, layer2: dashed": basic.layer2[0],
        "ResNet50, layer1: bottleneck": deep.layer1[1],
    }
    with new_figure(args.save, 8.2, 5.4) as figure:
        panels = figure.subplots(1, 3, width_ratios=[4, 5.7, 4])
        for axes, (title, block) in zip(panels, blocks.items(), strict=True):
            draw_block(axes, block, title)
            print(f"{title}: {weights(block):,} weights")

    two_3x3 = BasicBlock(256, 256)
    bottleneck = Bottleneck(256, 64)
    resnext = Bottleneck(256, 64, groups=32, width_per_group=4)
    print(
        f"for 256 channels in and out: two 3x3 {weights(two_3x3):,} weights, "
        f"the bottleneck {weights(bottleneck):,}, ResNeXt50's {weights(resnext):,}"
    )


if __name__ == "__main__":
    run(main)
