"""utils.py: one file in every folder; images of every kind; weights that fit or are refused."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import LESSONS, ROOT, load
from PIL import Image

utils = load("Test2_alexnet", "utils")


def test_utils_is_one_file() -> None:
    assert len({hashlib.sha256((ROOT / folder / "utils.py").read_bytes()).digest() for folder in LESSONS}) == 1


def test_garbage_is_collected_again_once_utils_is_imported() -> None:
    command = "import utils, gc; raise SystemExit(0 if gc.isenabled() and 'torch' in utils.sys.modules else 3)"
    assert subprocess.run([sys.executable, "-c", command], cwd=ROOT / LESSONS[0]).returncode == 0


def gradient(mode: str) -> Image.Image:
    """A 64 x 48 picture, dark at the left and light at the right, in the given mode."""
    values = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (48, 1))
    if mode == "I;16":
        return Image.fromarray(values.astype(np.uint16) * 257)
    gray = Image.fromarray(values)
    if mode == "RGBA":
        return Image.merge("RGBA", (gray, gray, gray, Image.new("L", gray.size, 255)))
    return gray.convert("RGB").convert(mode) if mode in ("CMYK", "P") else gray.convert(mode)


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        ("RGB", ".jpg"), ("L", ".jpg"), ("CMYK", ".jpg"), ("L", ".png"), ("LA", ".png"), ("RGBA", ".png"),
        ("P", ".png"), ("1", ".png"), ("I;16", ".png"), ("I;16", ".tif"), ("RGB", ".webp"), ("RGB", ".bmp"),
    ],
)  # fmt: skip
def test_images_of_every_mode_come_as_the_same_rgb(mode: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"picture{suffix}"
    gradient(mode).save(path)
    image = utils.open_image(path)
    assert image.mode == "RGB" and image.size == (64, 48)
    pixels = np.asarray(image).astype(int)
    assert abs(pixels[..., 0] - pixels[..., 2]).max() < 12  # gray
    columns = pixels.mean(axis=(0, 2))
    assert columns[:8].mean() < 40 and columns[-8:].mean() > 215 and 95 < columns[28:36].mean() < 160


def test_transparent_places_become_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    image.putpixel((0, 0), (255, 0, 0, 255))
    image.save(tmp_path / "a.png")
    palette = image.convert("P")
    palette.info["transparency"] = palette.getpixel((1, 1))
    palette.save(tmp_path / "b.png")
    for name in ("a.png", "b.png"):
        opened = utils.open_image(tmp_path / name)
        assert opened.getpixel((0, 0)) == (255, 0, 0) and opened.getpixel((2, 2)) == (255, 255, 255)


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    image = Image.new("RGB", (40, 20), "white")
    image.paste("red", (0, 0, 20, 20))  # red at the left; orientation 6: the camera's left is the picture's top
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.jpg", exif=exif)
    opened = utils.open_image(tmp_path / "a.jpg")
    assert opened.size == (20, 40)
    assert opened.getpixel((10, 5))[1] < 60 and opened.getpixel((10, 35))[1] > 200


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (3, 400)])
def test_tiny_and_thin_images_stay_small_when_resized(size: tuple[int, int], tmp_path: Path) -> None:
    Image.new("RGB", size, "red").save(tmp_path / "a.png")
    image = utils.open_image(tmp_path / "a.png")
    assert min(image.size) == min(size) and max(image.size) <= 50 * min(image.size)
    assert image.getpixel((0, 0)) == (255, 0, 0)


def test_augmentation_depends_on_seed_epoch_and_image_alone(data_set: Path) -> None:
    from torchvision import transforms

    transform = transforms.Compose([transforms.RandomResizedCrop(16), transforms.ToTensor()])

    def images(seed: int, epoch: int, before: int = 0) -> list[torch.Tensor]:
        folder = utils.ImageFolder(data_set / "train", transform, seed=seed)
        folder.epoch.fill_(epoch)
        torch.rand(before + 1)  # what else happened does not matter
        state = torch.get_rng_state()
        drawn = [folder[i][0] for i in range(len(folder))]
        assert torch.equal(state, torch.get_rng_state())  # nor does loading change what comes after it
        return drawn

    first = torch.stack(images(0, 0))
    assert torch.equal(first, torch.stack(images(0, 0, before=5)))
    assert not torch.equal(first, torch.stack(images(0, 1)))
    assert not torch.equal(first, torch.stack(images(1, 0)))


def test_mixed_seeds_do_not_repeat() -> None:
    assert len({utils.mix(seed, epoch, i) for seed in range(10) for epoch in range(10) for i in range(50)}) > 4990


def test_class_indices(tmp_path: Path) -> None:
    path = tmp_path / "class_indices.json"
    path.write_text(json.dumps({"0": "雏菊", "1": "rose"}, ensure_ascii=False), encoding="utf-8")
    assert utils.read_class_indices(path) == {"0": "雏菊", "1": "rose"}


def test_letters_without_a_glyph_are_drawn_as_question_marks() -> None:
    assert utils.drawable("Süße Katze") == "Süße Katze"
    assert utils.drawable("a\U0010fffd$") == r"a?\$"
