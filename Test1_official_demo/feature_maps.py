"""Draw what a trained LeNet makes of one picture: four kernels of conv1 beside their four maps.

python feature_maps.py picture.jpg  # writes feature_maps.png; without a picture, of a ship it draws

It draws the two kernels that are greyest, which find edges, and the two most colourful ones, among
those whose map is not black everywhere; or the ones that --kernels names, of 0 to 15. Each map is
drawn from 0 (black) to its own largest value (white).
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
from predict import classes, transform

if TYPE_CHECKING:  # at run time plots.py imports matplotlib, and copes with a wrong MPLBACKEND
    from matplotlib.axes import Axes

WHAT_TO_SEE = """
What to see:
- conv1's kernels in grey (the mean of red, green and blue): some have a bright stripe beside a dark
  one, and find edges of that direction. Others are flat in grey and coloured: they find colours. In
  an untrained net all are noise.
- conv1's maps: the picture can still be recognised. A map is bright where it finds its kernel's
  edge or colour, and black (0 after ReLU) where it does not.
- pool1's maps: the same at half the width and height. Of each 2 x 2 values the largest is left.
- conv2's maps: coarser, and blacker. A bright place answers to a combination of what conv1 has
  found.
- pool2's maps: 5 x 5 values each. What the picture looks like is gone; what was found, and roughly
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


def grey_shares(kernels: torch.Tensor) -> torch.Tensor:
    """How much of each kernel [count, 5, 5, 3] is grey: 0 to 1, in noise about a third."""
    grey = kernels.mean(dim=3, keepdim=True).expand_as(kernels)
    return grey.square().sum(dim=(1, 2, 3)) / kernels.square().sum(dim=(1, 2, 3))


def choose(shares: torch.Tensor, maps: torch.Tensor) -> list[int]:
    """The two greyest and the two most colourful kernels whose map is not 0 everywhere."""
    order = shares.argsort(descending=True).tolist()
    order = [number for number in order if maps[number].max() > 0]
    return list(dict.fromkeys([*order[:2], *order[-2:]]))


def draw(axes: "Axes", image: torch.Tensor, white: float, title: str = "") -> None:
    """Draw [height, width] in grey, from 0, black, to `white`; or [height, width, 3] in colour."""
    axes.imshow(image, cmap="gray", vmin=0, vmax=white, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize=11)


def draw_map(axes: "Axes", image: torch.Tensor, title: str = "") -> None:
    """Draw a map [height, width], whose largest value is white."""
    draw(axes, image, image.max().clamp(min=1e-6).item(), title)  # it may be 0 everywhere


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("image", type=Path, nargs="?", metavar="IMAGE", help="an image file")
    parser.add_argument(
        "--weights", type=Path, default=HERE / "Lenet.pth", help="default: %(default)s"
    )
    parser.add_argument(
        "--kernels",
        type=int,
        nargs="+",
        choices=range(16),
        metavar="NUMBER",
        help="which of conv1's kernels to draw, one row each (default: four, see above)",
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
    picture = transforms.Resize((32, 32))(picture)

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
    shares = grey_shares(kernels)
    shares_text = " ".join(f"{share:.2f}" for share in shares)
    print(f"share of each kernel that is grey, in noise about 0.33: {shares_text}")
    numbers = args.kernels or choose(shares, maps["conv1"])
    print(f"kernels drawn, of 0 to 15: {' '.join(map(str, numbers))}")
    # of conv2's 32 maps, the four that vary most
    conv2_numbers = maps["conv2"].std(dim=(1, 2)).argsort(descending=True)[:4].tolist()
    print(WHAT_TO_SEE)

    scale = 2 * kernels.abs().max()  # one for all kernels: weights of 0 are drawn half bright
    coloured = kernels / scale + 0.5
    grey = kernels.mean(dim=3) / scale + 0.5
    pixels = transforms.ToTensor()(picture).permute(1, 2, 0)  # [32, 32, 3]
    height = 1.3 * len(numbers) + 0.5  # inches, of the kernels and their maps
    with new_figure(args.save, 8.19, height + 1.4) as figure:
        upper, lower = figure.subfigures(2, 1, height_ratios=[height, 1.4])
        left, right = upper.subfigures(1, 2, width_ratios=[1.3, 4])
        draw(left.subplots(), pixels, 1, "the picture\n3 x 32 x 32")
        rows = right.subplots(len(numbers), 4, squeeze=False)
        titles = ["kernel in colour\n3 x 5 x 5", "the same in grey"]
        titles += ["its map after ReLU\n28 x 28", "after pool1\n14 x 14"]
        for row, number in zip(rows, numbers, strict=True):
            draw(row[0], coloured[number], 1, titles[0])
            draw(row[1], grey[number], 1, titles[1])
            draw_map(row[2], maps["conv1"][number], titles[2])
            draw_map(row[3], maps["pool1"][number], titles[3])
            row[0].set_ylabel(f"kernel {number}", fontsize=11)
            titles = [""] * 4  # above the first row alone

        left, right = lower.subfigures(1, 2)
        left.suptitle("conv2 and ReLU: 4 of 32 maps, 10 x 10", fontsize=11)
        right.suptitle("the same four after pool2, 5 x 5", fontsize=11)
        pairs = zip(left.subplots(1, 4), right.subplots(1, 4), conv2_numbers, strict=True)
        for before, after, number in pairs:
            draw_map(before, maps["conv2"][number])
            draw_map(after, maps["pool2"][number])


if __name__ == "__main__":
    run(main)
