"""Draw what the transforms of train.py make of a photo: python augmentation.py photo.jpg

Eight draws of data_transform["train"], as the net sees the photo in eight epochs, and what
data_transform["val"] makes of it. Without a photo, it takes one of the training set at random.
Change a transform in train.py and run it again. It writes augmentation.png.
"""

import random
from pathlib import Path

import numpy as np
import torch

from helpers import ImageFolder, Parser, manual_seed, open_image, run, whole_number
from plots import new_figure, printable
from train import data_transform


def pixels(img: torch.Tensor) -> np.ndarray:
    """A normalised picture [3, H, W] as [H, W, 3] in 0..1, to be drawn."""
    low, high = img.aminmax()
    return ((img - low) / (high - low).clamp(min=1e-6)).permute(1, 2, 0).numpy()


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("image", type=Path, nargs="?", metavar="IMAGE", help="an image file")
    parser.add_argument(
        "--seed", type=whole_number, default=0, help="other draws (default: %(default)s)"
    )
    parser.add_argument(
        "--save", type=Path, help="file (default: augmentation.png in --output-dir)"
    )
    args = parser.parse_args()

    image_path = args.image
    if not image_path:
        image_path = Path(random.choice(ImageFolder(args.data_path / "train").samples)[0])
    picture = open_image(image_path)
    manual_seed(args.seed)
    draws = [data_transform["train"](picture) for _ in range(8)]
    for_validation = data_transform["val"](picture)
    print(f"image: {image_path}  {picture.width} x {picture.height} pixels")
    print(f"train: {tuple(draws[0].shape)}  val: {tuple(for_validation.shape)}")

    with new_figure(args.save or args.output_dir / "augmentation.png", 11, 5) as figure:
        grid = figure.subplots(2, 5)
        grid[0, 0].imshow(picture)
        grid[0, 0].set_title(printable(image_path.name))
        grid[1, 0].imshow(pixels(for_validation))
        grid[1, 0].set_title('data_transform["val"]')
        for number, (axes, img) in enumerate(zip(grid[:, 1:].flat, draws, strict=True), start=1):
            axes.imshow(pixels(img))
            axes.set_title(f'"train", draw {number}')
        for axes in grid.flat:
            axes.set(xticks=[], yticks=[])


if __name__ == "__main__":
    run(main)
