"""Small data sets that the tests draw."""

import pickle
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torchvision.datasets import CIFAR10
from torchvision.datasets.utils import calculate_md5

COLORS = {"blue": (40, 60, 200), "green": (40, 180, 60), "red": (200, 50, 40)}


def draw_image(color: tuple[int, int, int], seed: int) -> Image.Image:
    """A picture of blocks in shades of one colour, of another size for every seed."""
    rng = random.Random(seed)
    blocks = Image.new("RGB", (6, 5))
    blocks.putdata(
        [tuple(max(0, min(255, c + rng.randint(-40, 40))) for c in color) for _ in range(30)]
    )
    return blocks.resize((rng.randint(60, 120), rng.randint(60, 120)), Image.Resampling.NEAREST)


def draw_data_set(
    root: Path, classes: Sequence[str] = ("blue", "red"), train: int = 4, val: int = 2
) -> Path:
    """root/train/<class>/*.png and root/val/<class>/*.png: classes that differ in colour."""
    for part, count in (("train", train), ("val", val)):
        for number, name in enumerate(classes):
            folder = root / part / name
            folder.mkdir(parents=True)
            color = COLORS.get(name, list(COLORS.values())[number % len(COLORS)])
            for i in range(count):
                draw_image(color, seed=1000 * number + 2 * i + (part == "val")).save(
                    folder / f"{name}_{i}.png"
                )
    return root


def draw_cifar10(root: Path, train: int = 100, test: int = 40) -> Path:
    """A drawn CIFAR-10 in the official set's on-disk format, each class in a colour of its own."""
    base = root / CIFAR10.base_folder
    base.mkdir(parents=True)
    for seed, name in enumerate(
        [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    ):
        labels = [i % 10 for i in range(test if name == "test_batch" else train // 5)]
        noise = np.random.default_rng(seed).integers(-30, 30, size=(len(labels), 3, 1024))
        colors = np.array([[25 * label, 255 - 25 * label, 128] for label in labels])[:, :, None]
        data = np.clip(colors + noise, 0, 255).astype(np.uint8).reshape(len(labels), 3072)
        (base / name).write_bytes(pickle.dumps({"data": data, "labels": labels}))
    names = [
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ]
    (base / "batches.meta").write_bytes(pickle.dumps({"label_names": names}))
    return root


def md5_of_cifar10(root: Path) -> dict[str, object]:
    """The attributes of torchvision's CIFAR10 that hold the official files' MD5, with those of the files in `root`."""
    base = root / CIFAR10.base_folder
    lists = {"train_list": CIFAR10.train_list, "test_list": CIFAR10.test_list}
    files = {
        name: [[f, calculate_md5(base / f)] for f, _ in value] for name, value in lists.items()
    }
    return {
        **files,
        "meta": {**CIFAR10.meta, "md5": calculate_md5(base / CIFAR10.meta["filename"])},
    }
