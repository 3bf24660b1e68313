"""Draw what a trained LeNet makes of one picture, layer by layer: its kernels and its feature maps.

python feature_maps.py picture.jpg          # without a picture, a ship that the script draws
"""

import argparse
from pathlib import Path

import utils  # first, because torch loads faster after it

import torch
from matplotlib.figure import Figure, SubFigure
from PIL import Image, ImageDraw
from torchvision import transforms

from model import LeNet

HERE = Path(__file__).resolve().parent


def draw_ship() -> Image.Image:
    """A red ship with a white cabin, on blue water: 32 x 32 pixels, drawn large and shrunk to soften its edges."""
    image = Image.new("RGB", (320, 320), (150, 190, 230))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 210, 320, 320), fill=(40, 80, 140))
    draw.polygon([(30, 170), (290, 170), (250, 240), (70, 240)], fill=(180, 40, 40))
    draw.rectangle((110, 110, 210, 170), fill=(240, 240, 235))
    draw.rectangle((170, 60, 195, 110), fill=(60, 60, 60))
    return image.resize((32, 32), Image.Resampling.LANCZOS)


def draw_maps(part: SubFigure, maps: torch.Tensor, columns: int, title: str, cmap: str | None) -> None:
    """Draw maps [count, height, width] (or kernels [count, height, width, 3], in colour) in rows of `columns`."""
    part.suptitle(title, fontsize=11)
    for axes, one in zip(part.subplots(-(-len(maps) // columns), columns).flat, maps, strict=True):
        axes.imshow(one.numpy(), cmap=cmap)
        axes.axis("off")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=utils.HelpFormatter)
    parser.add_argument("image", type=Path, nargs="?", metavar="IMAGE", help="an image file")
    parser.add_argument("--weights", type=Path, default=HERE / "Lenet.pth", help="weights file")
    parser.add_argument("--save", type=utils.figure, default=HERE / "feature_maps.png", help="file to draw to")
    args = parser.parse_args()

    net = LeNet().eval()
    utils.load_weights(net, args.weights)
    picture = utils.open_image(args.image) if args.image else draw_ship()
    picture = picture.resize((32, 32), Image.Resampling.BICUBIC)
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))])

    maps: dict[str, torch.Tensor] = {}
    for name in ("conv1", "pool1", "conv2", "pool2"):  # note what comes out of each layer
        getattr(net, name).register_forward_hook(lambda _, __, out, name=name: maps.update({name: out[0]}))
    with torch.inference_mode():
        probabilities = torch.softmax(net(transform(picture)[None])[0], dim=0)

    kernels = net.conv1.weight.detach().permute(0, 2, 3, 1)  # [16, 5, 5, 3]: each a small picture in colour
    low, high = kernels.amin((1, 2, 3), keepdim=True), kernels.amax((1, 2, 3), keepdim=True)
    kernels = (kernels - low) / (high - low)
    figure = Figure(figsize=(12, 9), layout="constrained")
    left, middle, right = figure.subfigures(1, 3, width_ratios=[1, 1.25, 1.25])
    top, bottom = left.subfigures(2, 1)
    axes = top.subplots()
    axes.imshow(picture)
    axes.axis("off")
    top.suptitle("the picture, 32 x 32", fontsize=11)
    draw_maps(bottom, kernels, 4, "conv1: its 16 kernels, 5 x 5, in colour", None)
    upper, lower = middle.subfigures(2, 1)
    draw_maps(upper, torch.relu(maps["conv1"]), 4, "conv1 and ReLU: 16 maps, 28 x 28", "gray")
    draw_maps(lower, maps["pool1"], 4, "pool1: 16 maps, 14 x 14", "gray")
    upper, lower = right.subfigures(2, 1)
    draw_maps(upper, torch.relu(maps["conv2"]), 8, "conv2 and ReLU: 32 maps, 10 x 10", "gray")
    draw_maps(lower, maps["pool2"], 8, "pool2: 32 maps, 5 x 5", "gray")
    utils.save_figure(figure, args.save)
    classes = ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    print(f"class: {classes[int(probabilities.argmax())]}  prob: {probabilities.max():.3f}")
    print(f"drawn in {args.save}")


if __name__ == "__main__":
    utils.run(main)
