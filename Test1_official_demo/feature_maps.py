"""Draw what a trained LeNet makes of one picture, layer by layer: its kernels and feature maps.

python feature_maps.py picture.jpg  # writes feature_maps.png; without a picture, of a ship it draws

All maps of a layer share one grey scale, from 0 (black) to the layer's largest value (white).
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image, ImageDraw
from torch import nn
from torchvision import transforms

from helpers import HERE, open_image, read_weights, run
from model import LeNet
from plots import new_figure

if TYPE_CHECKING:  # at run time plots.py imports matplotlib, and copes with a wrong MPLBACKEND
    from matplotlib.figure import SubFigure

transform = transforms.Compose(
    [transforms.ToTensor(), transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))]
)
classes = ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
WHAT_TO_SEE = """
What to see:
- conv1's kernels in grey (the mean of red, green and blue): some have a bright stripe beside a dark
  one, and find edges of that direction. Others are flat in grey and coloured: they find colours. In
  an untrained net all are noise.
- conv1's maps: the ship can still be recognised. A map is bright where it finds its kernel's edge
  or colour, and black (0 after ReLU) where it does not.
- pool1's maps: the same at half the width and height. Of each 2 x 2 values the largest is left.
- conv2's maps: coarser, and blacker. A bright place answers to a combination of what conv1 has
  found.
- pool2's maps: 5 x 5 values each. What the ship looks like is gone; what was found, and roughly
  where, is left, and from these 800 values the linear layers tell the class."""


def draw_ship() -> Image.Image:
    """A red ship with a white cabin, on blue water: 32 x 32 pixels, drawn large and shrunk."""
    image = Image.new("RGB", (320, 320), (150, 190, 230))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 210, 320, 320), fill=(40, 80, 140))
    draw.polygon([(30, 170), (290, 170), (250, 240), (70, 240)], fill=(180, 40, 40))
    draw.rectangle((110, 110, 210, 170), fill=(240, 240, 235))
    draw.rectangle((170, 60, 195, 110), fill=(60, 60, 60))
    return image.resize((32, 32), Image.Resampling.LANCZOS)


def draw_maps(part: "SubFigure", maps: torch.Tensor, columns: int, title: str) -> None:
    """Draw maps [count, height, width], or kernels [count, height, width, 3] in colour."""
    part.suptitle(title, fontsize=12)
    grid = part.subplots(len(maps) // columns, columns, squeeze=False)
    for axes, one in zip(grid.flat, maps, strict=True):
        axes.imshow(one, cmap="gray", vmin=0, vmax=maps.max())
        axes.axis("off")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("image", type=Path, nargs="?", metavar="IMAGE", help="an image file")
    parser.add_argument(
        "--weights", type=Path, default=HERE / "Lenet.pth", help="default: %(default)s"
    )
    parser.add_argument(
        "--save", type=Path, default=HERE / "feature_maps.png", help="file (default: %(default)s)"
    )
    args = parser.parse_args()

    weights_path = args.weights
    net = LeNet()
    net.load_state_dict(read_weights(weights_path))
    net.eval()
    picture = open_image(args.image) if args.image else draw_ship()
    picture = picture.resize((32, 32))

    names = {net.conv1: "conv1", net.pool1: "pool1", net.conv2: "conv2", net.pool2: "pool2"}
    maps: dict[str, torch.Tensor] = {}  # what leaves each layer: [channels, height, width]

    def keep_maps(layer: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        maps[names[layer]] = torch.relu(output[0])

    for layer in names:
        layer.register_forward_hook(keep_maps)
    with torch.no_grad():
        probabilities = torch.softmax(net(transform(picture)[None])[0], dim=0)
    print(f"class: {classes[probabilities.argmax()]}  prob: {probabilities.max():.3f}")
    for name, layer_maps in maps.items():
        zeros = (layer_maps == 0).float().mean()
        black = int((layer_maps.amax(dim=(1, 2)) == 0).sum())
        print(
            f"{name}: {zeros:.0%} of the values are 0, "
            f"{black} of {len(layer_maps)} maps 0 everywhere"
        )

    kernels = net.conv1.weight.detach().permute(0, 2, 3, 1)  # [16, 5, 5, 3]: 16 coloured pictures
    grey = kernels.mean(dim=3, keepdim=True).expand_as(kernels)
    shares = grey.square().sum(dim=(1, 2, 3)) / kernels.square().sum(dim=(1, 2, 3))
    shares_text = " ".join(f"{share:.2f}" for share in shares)
    print(f"share of each kernel that is grey, in noise about 0.33: {shares_text}")
    print(WHAT_TO_SEE)

    scale = 2 * kernels.abs().max()  # one for all kernels: weights of 0 are drawn half bright
    pixels = transforms.ToTensor()(picture).permute(1, 2, 0)[None]  # [1, 32, 32, 3]
    with new_figure(args.save, 10, 7.8) as figure:
        top, middle, bottom = figure.subfigures(3, 1, height_ratios=[1.2, 0.6, 1.05])
        left, centre, right = top.subfigures(1, 3)
        draw_maps(left, pixels, 1, "the picture, 32 x 32")
        draw_maps(centre, kernels / scale + 0.5, 4, "conv1: 16 kernels, 5 x 5, in colour")
        draw_maps(right, grey / scale + 0.5, 4, "the same kernels in grey")
        left, right = middle.subfigures(1, 2)
        draw_maps(left, maps["conv1"], 8, "conv1 and ReLU: 16 maps, 28 x 28")
        draw_maps(right, maps["pool1"], 8, "pool1: 16 maps, 14 x 14")
        left, right = bottom.subfigures(1, 2)
        draw_maps(left, maps["conv2"], 8, "conv2 and ReLU: 32 maps, 10 x 10")
        draw_maps(right, maps["pool2"], 8, "pool2: 32 maps, 5 x 5")


if __name__ == "__main__":
    run(main)
