"""Draw three residual blocks as the code builds them: a solid shortcut, a dashed one, and the bottleneck.

python draw_blocks.py               # writes blocks.png
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from helpers import HERE, run
from model import BasicBlock, Bottleneck, resnet34, resnet50
from plots import new_figure

if (
    TYPE_CHECKING
):  # when the script runs, plots.py imports matplotlib, and copes with a wrong MPLBACKEND
    from matplotlib.axes import Axes

BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"


def weights(module: nn.Module) -> int:
    """The number of weights in a module's convolutions."""
    return sum(layer.weight.numel() for layer in module.modules() if isinstance(layer, nn.Conv2d))


def draw_conv(axes: "Axes", x: float, y: float, conv: nn.Conv2d, color: str) -> None:
    """A convolution and its batch norm, in a box around (x, y)."""
    axes.bar(x, 1.2, 2.5, bottom=y - 0.6, facecolor="white", edgecolor=color, linewidth=2)
    side, stride = conv.kernel_size[0], ", stride 2" * (conv.stride[0] == 2)
    text = f"conv {side} x {side}{stride}\n{conv.in_channels} → {conv.out_channels}\nbatch norm"
    axes.text(x, y, text, ha="center", va="center", fontsize=10)


def draw_block(axes: "Axes", block: BasicBlock | Bottleneck, title: str) -> None:
    """The convolutions from top to bottom, which are F(x), and on their right the shortcut."""
    arrow = {"arrowstyle": "-|>", "color": "0.3", "shrinkA": 0, "shrinkB": 0}
    convs = [layer for layer in block.children() if isinstance(layer, nn.Conv2d)]
    axes.text(0.15, 0.1, f"x: {convs[0].in_channels} channels", fontsize=11)
    for i, conv in enumerate(convs):
        y = -1.2 - 2.1 * i
        axes.annotate("", (0, y + 0.6), (0, y + 1.5), arrowprops=arrow)
        if i:
            axes.text(0.15, y + 1.05, "ReLU", va="center", fontsize=11)
        draw_conv(axes, 0, y, conv, BLUE)
    plus = y - 1.2
    axes.annotate("", (0, plus + 0.25), (0, y - 0.6), arrowprops=arrow)
    axes.text(0, plus, "+", ha="center", va="center", fontsize=20)
    axes.annotate("", (0, plus - 1.0), (0, plus - 0.25), arrowprops=arrow)

    solid = block.downsample is None
    text = f"ReLU(F(x) + {'x' if solid else 'conv(x)'})\n{convs[-1].out_channels} channels"
    axes.text(0.15, plus - 0.75, text, va="center", fontsize=11)
    side = 1.8 if solid else 2.9  # where the shortcut runs
    look = {
        "color": GREEN if solid else ORANGE,
        "linewidth": 2.5,
        "linestyle": "-" if solid else "--",
    }
    axes.plot([0, side, side, 0.3], [-0.1, -0.1, plus, plus], zorder=0, **look)
    if solid:
        axes.text(
            side + 0.1, plus / 2, "x as it is", va="center", rotation=90, fontsize=11, color=GREEN
        )
    else:
        draw_conv(axes, side, plus / 2, block.downsample[0], ORANGE)
    axes.set_title(f"{title}\n{weights(block):,} weights", fontsize=12)
    axes.set(xlim=(-1.4, 2.6 if solid else 4.3), ylim=(-8, 0.5))
    axes.axis("off")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--save", type=Path, default=HERE / "blocks.png", help="file (default: %(default)s)"
    )
    args = parser.parse_args()

    basic, deep = resnet34(num_classes=5), resnet50(num_classes=5)
    blocks = {
        "ResNet34, layer1: solid": basic.layer1[1],
        "ResNet34, layer2: dashed": basic.layer2[0],
        "ResNet50, layer1: bottleneck": deep.layer1[1],
    }
    with new_figure(args.save, 10, 6) as figure:
        for axes, (title, block) in zip(
            figure.subplots(1, 3, width_ratios=[4, 5.7, 4]), blocks.items(), strict=True
        ):
            draw_block(axes, block, title)
            print(f"{title}: {weights(block):,} weights")
    print(
        f"for 256 channels in and out: two 3x3 {weights(BasicBlock(256, 256)):,} weights, ", end=""
    )
    print(f"the bottleneck {weights(Bottleneck(256, 64)):,}, ", end="")
    print(f"ResNeXt50's {weights(Bottleneck(256, 64, groups=32, width_per_group=4)):,}")


if __name__ == "__main__":
    run(main)
