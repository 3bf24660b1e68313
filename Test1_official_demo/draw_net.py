"""Draw LeNet from left to right, and in its boxes what it makes of one picture.

python draw_net.py picture.jpg      # writes lenet.png; without a picture, of a ship it draws

The maps need trained weights, Lenet.pth. Where there are none yet, the boxes stay empty. Of each
layer four maps are drawn, those that vary most; a pooling's are those of the convolution before it.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import nn
from torchvision import transforms

from feature_maps import draw_ship
from helpers import HERE, open_image, read_weights, run
from model import LeNet
from plots import new_figure
from predict import classes, transform

if TYPE_CHECKING:  # at run time plots.py imports matplotlib, and copes with a wrong MPLBACKEND
    from matplotlib.axes import Axes

COLORS = {nn.Conv2d: "#0072b2", nn.MaxPool2d: "#d55e00", nn.Linear: "#009e73"}
SHEETS = 4  # of a layer's maps, how many are drawn
OFFSET = 0.24  # from one of them to the next
TOP_OF_TEXT = -2.1


def count(module: nn.Module) -> int:
    """The number of a module's parameters."""
    return sum(p.numel() for p in module.parameters())


def describe(name: str, layer: nn.Module) -> str:
    """A layer's name, its kernel and its number of parameters, in a line each."""
    if isinstance(layer, nn.Conv2d):
        kernel = f"{layer.kernel_size[0]} x {layer.kernel_size[1]}"
    elif isinstance(layer, nn.MaxPool2d):
        kernel = f"max {layer.kernel_size} x {layer.kernel_size}"
    else:
        kernel = "linear"
    return f"{name}\n{kernel}\n{count(layer):,}"


def draw_picture(axes: "Axes", picture: Image.Image, x: float, size: float) -> None:
    """Draw the input, with its left edge at x."""
    axes.imshow(picture, extent=(x, x + size, -size / 2, size / 2), interpolation="nearest")
    axes.bar(x + size / 2, size, size, bottom=-size / 2, fill=False, edgecolor="black")
    axes.text(x + size / 2, size / 2 + 0.2, "3 x 32 x 32", ha="center", va="bottom")


def draw_maps(
    axes: "Axes", maps: torch.Tensor, shown: list[int] | None, x: float, color: str
) -> float:
    """Draw maps [channels, height, width] as a stack of sheets. Returns the x where it ends.

    `shown`: the maps to be drawn, the front one first; None: the sheets stay empty.
    """
    channels, height, width = maps.shape
    size = size_of(height)
    look = {"edgecolor": color, "linewidth": 1.2}
    for i in reversed(range(SHEETS)):  # from the one at the back to the one in front
        left = x + OFFSET * (SHEETS - 1 - i)
        bottom = -size / 2 + OFFSET * (i - (SHEETS - 1) / 2)
        zorder = 10 - i
        if shown is None:
            filling = {"facecolor": "white"}
        else:
            filling = {"fill": False}
            axes.imshow(
                maps[shown[i]],
                cmap="gray",
                vmin=0,
                vmax=maps.max(),
                extent=(left, left + size, bottom, bottom + size),
                interpolation="nearest",
                zorder=zorder,
            )
        axes.bar(left + size / 2, size, size, bottom=bottom, zorder=zorder, **filling, **look)
    right = x + OFFSET * (SHEETS - 1) + size
    top = size / 2 + OFFSET * (SHEETS - 1) / 2
    text = f"{channels} x {height} x {width}"
    axes.text((x + right) / 2, top + 0.2, text, ha="center", va="bottom")
    return right


def draw_vector(axes: "Axes", values: torch.Tensor, is_empty: bool, x: float, color: str) -> float:
    """Draw a vector as a column, 0 and less black. Returns the x where it ends."""
    length = len(values)
    size = 4.0 if length == len(classes) else 0.31 * length**0.5  # the names of ten classes fit
    if not is_empty:
        axes.imshow(
            values.clamp(min=0)[:, None],
            cmap="gray",
            extent=(x, x + 0.3, -size / 2, size / 2),
            interpolation="nearest",
            aspect="auto",
        )
    axes.bar(x + 0.15, size, 0.3, bottom=-size / 2, fill=False, edgecolor=color, linewidth=1.2)
    axes.text(x + 0.15, size / 2 + 0.2, str(length), ha="center", va="bottom")
    if length == len(classes):
        probabilities = torch.softmax(values, dim=0)
        for i, name in enumerate(classes):
            y = size / 2 - size * (i + 0.5) / length
            text = name if is_empty else f"{name} {probabilities[i]:.2f}"
            is_largest = not is_empty and i == probabilities.argmax()
            weight = "bold" if is_largest else "normal"
            axes.text(x + 0.42, y, text, va="center", fontsize=9, fontweight=weight)
    return x + 0.3


def size_of(height: int) -> float:
    """The side of a box for maps of that height: not to scale, so that the small ones show too."""
    return 0.41 * height**0.5


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("image", type=Path, nargs="?", metavar="IMAGE", help="an image file")
    parser.add_argument(
        "--weights", type=Path, help="weights file (default: Lenet.pth in this folder, if any)"
    )
    parser.add_argument(
        "--save", type=Path, default=HERE / "lenet.png", help="file (default: %(default)s)"
    )
    args = parser.parse_args()

    weights_path = args.weights or HERE / "Lenet.pth"
    net = LeNet().eval()
    is_empty = args.weights is None and not weights_path.exists()
    if is_empty:
        print(f"no {weights_path.name} yet, so the boxes stay empty: python train.py makes it")
    else:
        net.load_state_dict(read_weights(weights_path))
    picture = open_image(args.image) if args.image else draw_ship()
    picture = transforms.Resize((32, 32))(picture)

    outputs: dict[nn.Module, torch.Tensor] = {}  # what leaves each layer, without the batch

    def keep_output(layer: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        outputs[layer] = output[0]

    for layer in net.children():
        layer.register_forward_hook(keep_output)
    with torch.no_grad():
        net(transform(picture)[None])

    with new_figure(args.save, 8.29, 3.2) as figure:
        axes = figure.subplots()
        right = size_of(32)
        draw_picture(axes, picture, 0, right)
        shown = None
        for name, layer in net.named_children():
            color = COLORS[type(layer)]
            gap = 1.4 if isinstance(layer, nn.Linear) else 1.15  # numbers stand below
            arrow = {"arrowstyle": "-|>", "color": color}
            axes.annotate("", (right + gap - 0.1, 0), (right + 0.1, 0), arrowprops=arrow)
            text = describe(name, layer)
            axes.text(right + gap / 2, TOP_OF_TEXT, text, ha="center", va="top", color=color)
            output = outputs[layer]
            if output.dim() == 1:
                if layer is not net.fc3:
                    output = torch.relu(output)
                right = draw_vector(axes, output, is_empty, right + gap, color)
                continue
            maps = torch.relu(output)
            if isinstance(layer, nn.Conv2d) and not is_empty:
                shown = maps.std(dim=(1, 2)).argsort(descending=True)[:SHEETS].tolist()
                print(f"{name}: maps {shown} of {len(maps)}, the front one first")
            right = draw_maps(axes, maps, shown, right + gap, color)
        axes.text(-0.5, TOP_OF_TEXT, "layer\nkernel\nparameters", va="top")
        note = (
            "ReLU after conv1, conv2, fc1 and fc2; pooling with stride 2; "
            "before fc1, flatten: 32 · 5 · 5 = 800 values"
        )
        axes.text(right / 2, -3.9, note, ha="center", va="top")
        axes.set(xlim=(-0.5, right + 2.3), ylim=(-4.4, 2.6), aspect="equal")
        axes.axis("off")
    print(f"{count(net):,} parameters")


if __name__ == "__main__":
    run(main)
