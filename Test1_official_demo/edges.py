"""Draw what an edge filter does to a picture, and how gradient descent learns the same filter from its output.

python edges.py photo.jpg           # writes edges.png; without a picture, of shapes that the script draws
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image, ImageDraw
from torch import nn, optim
from torch.nn import functional as F
from torchvision.transforms.functional import to_tensor

from helpers import HERE, open_image, run
from plots import new_figure

if (
    TYPE_CHECKING
):  # when the script runs, plots.py imports matplotlib, and copes with a wrong MPLBACKEND
    from matplotlib.axes import Axes

KERNEL = torch.tensor([[-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0]])
STEPS = (0, 10, 100, 3000)  # after which the learned kernel is drawn


def draw_shapes() -> Image.Image:
    """Edges of every direction: 64 x 64 grey pixels, drawn large and shrunk to soften them."""
    image = Image.new("L", (640, 640), 60)
    draw = ImageDraw.Draw(image)
    draw.rectangle((60, 60, 280, 280), fill=220)
    draw.ellipse((360, 60, 580, 280), fill=160)
    draw.polygon([(170, 360), (60, 580), (280, 580)], fill=255)
    for x in range(360, 580, 40):
        draw.line((x, 360, x + 60, 580), fill=200, width=12)
    return image.resize((64, 64), Image.Resampling.LANCZOS)


def learn(image: torch.Tensor, target: torch.Tensor) -> dict[int, torch.Tensor]:
    """The kernel [3, 3] after each of STEPS. It starts at random, and is told only what the output should be."""
    torch.manual_seed(0)
    conv = nn.Conv2d(1, 1, kernel_size=3, bias=False)
    optimizer = optim.SGD(conv.parameters(), lr=1.0)
    kernels = {}
    for step in range(STEPS[-1] + 1):
        loss = F.mse_loss(conv(image), target)
        if step in STEPS:
            kernels[step] = conv.weight.detach()[0, 0].clone()
            rows = "   ".join(
                " ".join(f"{value:5.2f}" for value in row) for row in kernels[step].tolist()
            )
            print(f"after {step:4} steps: loss {loss.item():.2g}, kernel {rows}")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return kernels


def draw_kernel(axes: "Axes", kernel: torch.Tensor, title: str) -> None:
    """A kernel's weights: as numbers, and the larger the brighter."""
    axes.imshow(kernel, cmap="gray", vmin=-1.5, vmax=1.5)
    for row in range(3):
        for column in range(3):
            weight = kernel[row, column].item()
            color = "white" if weight < 0 else "black"
            axes.text(
                column, row, f"{weight:.2f}", ha="center", va="center", fontsize=11, color=color
            )
    axes.set(title=title, xticks=[], yticks=[])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("image", type=Path, nargs="?", metavar="IMAGE", help="an image file")
    parser.add_argument(
        "--save", type=Path, default=HERE / "edges.png", help="file (default: %(default)s)"
    )
    args = parser.parse_args()

    picture = open_image(args.image).convert("L").resize((64, 64)) if args.image else draw_shapes()
    image = to_tensor(picture)[None]  # [1, 1, 64, 64]
    # around 0, gradient descent finds its way faster; and at this size a learning rate of 1.0 suits any picture
    image = 0.25 * (image - image.mean()) / (image.std() + 1e-6)
    target = F.conv2d(image, KERNEL[None, None])  # [1, 1, 62, 62]
    kernels = {"given:\nedge filter": KERNEL}
    for step, kernel in learn(image, target).items():
        kernels[f"learned:\n{step} steps" if step else "learned:\nrandom start"] = kernel

    largest = target.abs().max().item()
    with new_figure(args.save, 10, 4) as figure:
        left, right = figure.subfigures(1, 2, width_ratios=[1.3, 5])
        axes = left.subplots()
        axes.imshow(picture, cmap="gray")
        axes.set(title="the picture", xticks=[], yticks=[])
        grid = right.subplots(2, len(kernels))
        for (upper, lower), (title, kernel) in zip(grid.T, kernels.items(), strict=True):
            draw_kernel(upper, kernel, title)
            lower.imshow(
                F.conv2d(image, kernel[None, None])[0, 0], cmap="gray", vmin=-largest, vmax=largest
            )
            lower.set(xticks=[], yticks=[])
        grid[0, 0].set_ylabel("kernel")
        grid[1, 0].set_ylabel("its output")


if __name__ == "__main__":
    run(main)
