"""Draw what a trained LeNet makes of one picture, layer by layer: its kernels and its feature maps.

python feature_maps.py picture.jpg      # writes feature_maps.png; without a picture, of a ship that the script draws

All maps of a layer share one grey scale, from 0 (black) to the layer's largest value (white).
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image, ImageDraw
from torchvision import transforms

from helpers import HERE, load_weights, open_image, read_weights, run
from model import LeNet
from plots import new_figure

if (
    TYPE_CHECKING
):  # when the script runs, plots.py imports matplotlib, and copes with a wrong MPLBACKEND
    from matplotlib.figure import SubFigure

transform = transforms.Compose(
    [transforms.ToTensor(), transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))]
)
classes = ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
WHAT_TO_SEE = """
What to see:
- conv1's kernels in grey (the mean of red, green and blue): some have a bright stripe beside a dark one, and find edges
  of that direction. Others are flat in grey and coloured: they find colours. In an untrained net all are noise.
- conv1's maps: the ship can still be recognised. A map is bright where it finds its kernel's edge or colour, and black
  (0 after ReLU) where it does not.
- pool1's maps: the same at half the width and height. Of each 2 x 2 values the largest is left.
- conv2's maps: coarser, and blacker. A bright place answers to a combination of what conv1 has found.
- pool2's maps: 5 x 5 values each. What the ship looks like is gone; what was found, and roughly where, is left, and
  from these 800 values the linear layers tell the class."""


def draw_ship() -> Image.Image:
    """A red ship with a white cabin, on blue water: 32 x 32 pixels, drawn large and shrunk to soften its edges."""
    image = Image.new("RGB", (320, 320), (150, 190, 230))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 210, 320, 320), fill=(40, 80, 140))
    draw.polygon([(30, 170), (290, 170), (250, 240), (70, 240)], fill=(180, 40, 40))
    draw.rectangle((110, 110, 210, 170), fill=(240, 240, 235))
    draw.rectangle((170, 60, 195, 110), fill=(60, 60, 60))
    return image.resize((32, 32), Image.Resampling.LANCZOS)


def draw_maps(part: "SubFigure", maps: torch.Tensor, columns: int, title: str) -> None:
    """Draw maps [count, height, width], or kernels [count, height, width, 3] in colour, in rows of `columns`."""
    part.suptitle(title, fontsize=12)
    for axes, one in zip(
        part.subplots(len(maps) // columns, columns, squeeze=False).flat, maps, strict=True
    ):
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

    net = LeNet().eval()
    load_weights(net, read_weights(args.weights), args.weights)
    picture = open_image(args.image).resize((32, 32)) if args.image else draw_ship()

    maps: dict[
        str, torch.Tensor
    ] = {}  # what leaves each layer: [channels, height, width], after ReLU
    for name in ("conv1", "pool1", "conv2", "pool2"):
        getattr(net, name).register_forward_hook(
            lambda _, __, out, name=name: maps.update({name: torch.relu(out[0])})
        )
    with torch.no_grad():
        probabilities = torch.softmax(net(transform(picture)[None])[0], dim=0)
    print(f"class: {classes[probabilities.argmax()]}  prob: {probabilities.max():.3f}")
    for name, layer in maps.items():
        black = int((layer.amax(dim=(1, 2)) == 0).sum())
        print(
            f"{name}: {(layer == 0).float().mean():.0%} of the values are 0, {black} of {len(layer)} maps 0 everywhere"
        )

    kernels = net.conv1.weight.detach().permute(
        0, 2, 3, 1
    )  # [16, 5, 5, 3]: each is a small picture in colour
    grey = kernels.mean(dim=3, keepdim=True).expand_as(kernels)
    shares = grey.square().sum(dim=(1, 2, 3)) / kernels.square().sum(dim=(1, 2, 3))
    print(
        "share of each kernel that is grey, in noise about 0.33:",
        " ".join(f"{share:.2f}" for share in shares),
    )
    print(WHAT_TO_SEE)

    scale = 2 * kernels.abs().max()  # one for all kernels
    picture = transforms.ToTensor()(picture).permute(1, 2, 0)[None]  # [1, 32, 32, 3]
    with new_figure(args.save, 10, 7.8) as figure:
        top, middle, bottom = figure.subfigures(3, 1, height_ratios=[1.2, 0.6, 1.05])
        parts = [*top.subfigures(1, 3), *middle.subfigures(1, 2), *bottom.subfigures(1, 2)]
        draw_maps(parts[0], picture, 1, "the picture, 32 x 32")
        draw_maps(parts[1], kernels / scale + 0.5, 4, "conv1: 16 kernels, 5 x 5, in colour")
        draw_maps(parts[2], grey / scale + 0.5, 4, "the same kernels in grey")
        draw_maps(parts[3], maps["conv1"], 8, "conv1 and ReLU: 16 maps, 28 x 28")
        draw_maps(parts[4], maps["pool1"], 8, "pool1: 16 maps, 14 x 14")
        draw_maps(parts[5], maps["conv2"], 8, "conv2 and ReLU: 32 maps, 10 x 10")
        draw_maps(parts[6], maps["pool2"], 8, "pool2: 32 maps, 5 x 5")


if __name__ == "__main__":
    run(main)
