"""Draw an Inception block with its six numbers, as the code builds it.

python draw_inception.py            # writes inception.png, of inception3a
"""

import argparse
from pathlib import Path

import utils  # first, because torch loads faster after it

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from model import GoogLeNet

HERE = Path(__file__).resolve().parent
COLORS = {"1x1": "#a6cee3", "3x3": "#b2df8a", "5x5": "#fdbf6f", "pool": "#e0e0e0"}


def box(axes: Axes, x: float, y: float, text: str, color: str, width: float = 2.1) -> None:
    """A box with text around (x, y)."""
    corner = (x - width / 2, y - 0.4)
    axes.add_patch(FancyBboxPatch(corner, width, 0.8, boxstyle="round,pad=0.03", facecolor=color, edgecolor="0.3"))
    axes.text(x, y, text, ha="center", va="center", fontsize=10)


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """An arrow from `start` to `end`."""
    axes.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": "0.3"})


def main() -> None:
    net = GoogLeNet(num_classes=5)
    names = [name for name, _ in net.named_children() if name.startswith("inception")]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=utils.HelpFormatter)
    parser.add_argument("--block", choices=names, default="inception3a", help="which of the nine blocks")
    parser.add_argument("--save", type=utils.figure, default=HERE / "inception.png", help="file to draw to")
    args = parser.parse_args()

    block = getattr(net, args.block)
    convs = {
        "ch1x1": block.branch1.conv, "ch3x3red": block.branch2[0].conv, "ch3x3": block.branch2[1].conv,
        "ch5x5red": block.branch3[0].conv, "ch5x5": block.branch3[1].conv, "pool_proj": block.branch4[1].conv,
    }  # fmt: skip
    in_channels = convs["ch1x1"].in_channels
    out_channels = block.eval()(torch.zeros(1, in_channels, 7, 7)).shape[1]

    def text(name: str) -> str:
        conv = convs[name]
        size = conv.kernel_size[0]
        return f"{name} = {conv.out_channels}\nconv {size}x{size}, {conv.weight.numel():,} weights"

    figure = Figure(figsize=(12, 5.4), layout="constrained")
    axes = figure.subplots()
    box(axes, 4.5, 0, f"in: {in_channels} channels", "white")
    low, high, top = 1.5, 3.0, 4.5
    box(axes, 0, high, text("ch1x1"), COLORS["1x1"], 2.6)
    for x, reduce, wide, size in ((3, "ch3x3red", "ch3x3", "3x3"), (6, "ch5x5red", "ch5x5", "5x5")):
        box(axes, x, low, text(reduce), COLORS["1x1"], 2.6)
        box(axes, x, high, text(wide), COLORS[size], 2.6)
    box(axes, 9, low, "max pool 3x3,\nstride 1, padding 1", COLORS["pool"], 2.6)
    box(axes, 9, high, text("pool_proj"), COLORS["1x1"], 2.6)
    outs = " + ".join(str(convs[name].out_channels) for name in ("ch1x1", "ch3x3", "ch5x5", "pool_proj"))
    box(axes, 4.5, top, f"stacked: {outs} = {out_channels} channels", "white", 5)
    for x in (3, 6, 9):
        arrow(axes, (4.5, 0.45), (x, low - 0.45))
        arrow(axes, (x, low + 0.45), (x, high - 0.45))
    axes.plot([3.4, 0], [0, 0], color="0.3", linewidth=1)  # the first branch has one layer: its arrow goes around
    arrow(axes, (0, 0), (0, high - 0.45))
    for x in (0, 3, 6, 9):
        arrow(axes, (x, high + 0.45), (4.5 + (x - 4.5) / 3, top - 0.45))
    axes.set(xlim=(-1.6, 10.6), ylim=(-0.6, 5.1))
    axes.axis("off")
    axes.set_title(f"{args.block}: Inception({in_channels}, {', '.join(str(c.out_channels) for c in convs.values())})")
    utils.save_figure(figure, args.save)
    print(f"drawn in {args.save}")


if __name__ == "__main__":
    utils.run(main)
