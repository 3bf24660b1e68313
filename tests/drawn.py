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
    for y in range(5):
        for x in range(6):
            shade = tuple(max(0, min(255, value + rng.randint(-40, 40))) for value in color)
            blocks.putpixel((x, y), shade)
    size = rng.randint(60, 120), rng.randint(60, 120)
    return blocks.resize(size, Image.Resampling.NEAREST)


def draw_data_set(
    root: Path, classes: Sequence[str] = ("blue", "red"), train: int = 4, val: int = 2
) -> Path:
    """root/train/<class>/*.png and root/val/<class>/*.png: classes that differ in colour."""
    others = list(COLORS.values())
    for part, count in (("train", train), ("val", val)):
        for number, name in enumerate(classes):
            color = COLORS.get(name, others[number % len(others)])
            folder = root / part / name
            folder.mkdir(parents=True)
            for i in range(count):
                image = draw_image(color, seed=1000 * number + 2 * i + (part == "val"))
                image.save(folder / f"{name}_{i}.png")
    return root


def draw_cifar10(root: Path, train: int = 100, test: int = 40) -> Path:
    """A drawn CIFAR-10 in the official set's on-disk format, each class in a colour of its own."""
    base = root / CIFAR10.base_folder
    base.mkdir(parents=True)
    counts = {f"data_batch_{number}": train // 5 for number in range(1, 6)}
    counts["test_batch"] = test
    for seed, (name, count) in enumerate(counts.items()):
        labels = [i % 10 for i in range(count)]
        noise = np.random.default_rng(seed).integers(-30, 30, size=(count, 3, 1024))
        colors = np.array([[25 * label, 255 - 25 * label, 128] for label in labels])
        data = np.clip(colors[:, :, None] + noise, 0, 255).astype(np.uint8)
        batch = {"data": data.reshape(count, 3072), "labels": labels}
        (base / name).write_bytes(pickle.dumps(batch))
    animals = ["bird", "cat", "deer", "dog", "frog", "horse"]
    names = ["airplane", "automobile", *animals, "ship", "truck"]
    (base / "batches.meta").write_bytes(pickle.dumps({"label_names": names}))
    return root


def md5_of_cifar10(root: Path) -> dict[str, object]:
    """What torchvision's CIFAR10 has as attributes on the official files, for those in `root`."""
    base = root / CIFAR10.base_folder
    train_list = [[name, calculate_md5(base / name)] for name, _ in CIFAR10.train_list]
    test_list = [[name, calculate_md5(base / name)] for name, _ in CIFAR10.test_list]
    meta_md5 = calculate_md5(base / CIFAR10.meta["filename"])
    return {
        "train_list": train_list,
        "test_list": test_list,
        "meta": {**CIFAR10.meta, "md5": meta_md5},
    }
