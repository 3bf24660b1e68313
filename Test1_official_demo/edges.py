"""Draw what an edge filter does to a picture, and how gradient descent learns the same filter.

python edges.py photo.jpg           # writes edges.png; without a photo, of shapes it draws itself
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

if TYPE_CHECKING:  # at run time plots.py imports matplotlib, and copes with a wrong MPLBACKEND
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
    """The kernel [3, 3] after each of STEPS. It starts at random, and is told only the output."""
    torch.manual_seed(0)
    conv = nn.Conv2d(1, 1, kernel_size=3, bias=False)
    optimizer = optim.SGD(conv.parameters(), lr=1.0)
    kernels = {}
    for step in range(STEPS[-1] + 1):
        loss = F.mse_loss(conv(image), target)
        if step in STEPS:
            kernel = conv.weight.detach()[0, 0].clone()
            kernels[step] = kernel
            rows = []
            for row in kernel.tolist():
                rows.append(" ".join(f"{weight:5.2f}" for weight in row))
            print(f"after {step:4} steps: loss {loss.item():.2g}, kernel {'   '.join(rows)}")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return kernels


def draw_kernel(axes: "Axes", kernel: torch.Tensor, title: str) -> None:
    """A kernel's weights: as numbers, and the larger the brighter."""
    axes.imshow(kernel, cmap="gray", vmin=-1.5, vmax=1.5)
    look = {"ha": "center", "va": "center", "fontsize": 9}
    for row in range(3):
        for column in range(3):
            weight = round(kernel[row, column].item(), 2) + 0.0  # no -0.00
            color = "white" if weight < 0 else "black"  # to stand out from the grey behind it
            axes.text(column, row, f"{weight:.2f}", color=color, **look)
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

    picture = open_image(args.image).convert("L") if args.image else draw_shapes()
    picture = picture.resize((64, 64))
    image = to_tensor(picture)[None]  # [1, 1, 64, 64]
    # centred on 0, gradient descent finds its way faster, and at this scale a learning rate of 1.0
    # suits any picture
    image = 0.25 * (image - image.mean()) / (image.std() + 1e-6)
    target = F.conv2d(image, KERNEL[None, None])  # [1, 1, 62, 62]
    learned = learn(image, target)

    kernels = {"given:\nedge filter": KERNEL, "learned:\nrandom start": learned[0]}
    for step in STEPS[1:]:
        kernels[f"learned:\n{step} steps"] = learned[step]

    largest = target.abs().max().item()
    with new_figure(args.save, 8.19, 3.5) as figure:
        left, right = figure.subfigures(1, 2, width_ratios=[1.2, 5])
        axes = left.subplots()
        axes.imshow(picture, cmap="gray")
        axes.set(title="the picture", xticks=[], yticks=[])
        upper, lower = right.subplots(2, len(kernels))
        for column, (title, kernel) in enumerate(kernels.items()):
            draw_kernel(upper[column], kernel, title)
            output = F.conv2d(image, kernel[None, None])[0, 0]  # [62, 62]
            lower[column].imshow(output, cmap="gray", vmin=-largest, vmax=largest)
            lower[column].set(xticks=[], yticks=[])
        upper[0].set_ylabel("kernel")
        lower[0].set_ylabel("its output")


if __name__ == "__main__":
    run(main)
