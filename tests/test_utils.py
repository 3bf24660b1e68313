"""utils.py: one file in every folder; images of every kind; weights that fit or are refused."""

import argparse
import hashlib
import io
import itertools
import json
import shutil
import struct
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import LESSONS, ROOT, draw_data_set, load
from PIL import Image, ImageOps

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
    if mode == "I;16B":
        return Image.frombytes("I;16B", (64, 48), (values.astype(">u2") * 257).tobytes())
    gray = Image.fromarray(values)
    if mode == "RGBA":
        return Image.merge("RGBA", (gray, gray, gray, Image.new("L", gray.size, 255)))
    return gray.convert("RGB").convert(mode) if mode in ("CMYK", "P") else gray.convert(mode)


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        ("RGB", ".jpg"), ("L", ".jpg"), ("CMYK", ".jpg"), ("L", ".png"), ("LA", ".png"), ("RGBA", ".png"),
        ("P", ".png"), ("1", ".png"), ("I;16", ".png"), ("I;16", ".tif"), ("I;16B", ".tif"), ("RGB", ".webp"),
        ("RGB", ".bmp"),
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


def test_a_photo_with_odd_exif_entries_is_opened_upright_and_quietly(tmp_path: Path) -> None:
    """An entry of a wrong type, which Pillow reads with a warning and cannot write again."""
    entries = [(0x0112, 3, 1, b"\x06\0\0\0"), (0x011A, 2, 4, b"abc\0")]  # orientation; XResolution, as a text
    body = b"".join(struct.pack("<HHI", *entry[:3]) + entry[3] for entry in entries)
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + body + b"\0\0\0\0"
    Image.new("RGB", (40, 20), "red").save(tmp_path / "a.jpg", exif=exif)
    with Image.open(tmp_path / "a.jpg") as image, pytest.raises(Exception, match=r".+"):
        ImageOps.exif_transpose(image)  # the file is as odd as it should be
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert utils.open_image(tmp_path / "a.jpg").size == (20, 40)


def test_garbage_in_an_image_file_is_one_error(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    """Files of several kinds, spoiled at random: each is opened, or is a UserError, and none gives a warning."""
    rng = np.random.default_rng(0)
    refused = 0
    for suffix in (".jpg", ".png", ".gif", ".tif", ".bmp", ".webp", ".ppm"):
        path = tmp_path / f"a{suffix}"
        gradient("RGB").save(path)
        whole = path.read_bytes()
        for _ in range(40):
            content = np.frombuffer(whole, dtype=np.uint8).copy()
            content[rng.integers(0, len(content), 12)] = rng.integers(0, 256, 12)
            path.write_bytes(content.tobytes()[: rng.integers(1, len(content))])
            try:
                assert utils.open_image(path).mode == "RGB"
            except utils.UserError as error:
                refused += 1
                assert str(path) in str(error) and "\n" not in str(error)
    assert refused > 50 and len(recwarn) == 0


def test_hidden_folders_in_a_class_are_left_out(tmp_path: Path) -> None:
    data = draw_data_set(tmp_path)
    for hidden in (".ipynb_checkpoints", ".thumbnails/large"):
        shutil.copytree(data / "val" / "red", data / "train" / "red" / hidden)
    shutil.copytree(data / "train" / "blue", data / "train" / "red" / "more")
    assert len(utils.ImageFolder(data / "train", transform=None)) == 4 + 4 + 4


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


def test_a_gpu_without_a_number_is_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    assert str(utils.device("cuda")) == str(utils.default_device()) == "cuda:0"
    assert str(utils.device("cuda:1")) == "cuda:1" and str(utils.device("cpu")) == "cpu"
    for text in ("cuda:2", "cuda:256", "cuda:-1", "mps"):
        with pytest.raises(argparse.ArgumentTypeError, match=r"has cpu, cuda"):
            utils.device(text)
    assert utils.loader_options(2, utils.device("cuda"))["pin_memory"]


def test_utils_can_be_imported_in_a_thread() -> None:
    """As a web program does that uses a lesson's folder."""
    command = "import threading; t = threading.Thread(target=__import__, args=('utils',)); t.start(); t.join()"
    done = subprocess.run([sys.executable, "-c", command], cwd=ROOT / LESSONS[0], capture_output=True)
    assert done.returncode == 0 and done.stderr == b""


def test_an_earlier_runs_weights_have_class_names_of_their_own() -> None:
    names = {
        name: utils.class_indices_path(Path("a", f"{name}.pth")).name
        for name in ("Net", "Net_previous", "Net_previous2")
    }
    assert names["Net"] == "class_indices.json"
    assert names["Net_previous"] == "class_indices_Net_previous.json"
    assert names["Net_previous2"] == "class_indices_Net_previous2.json"
    assert utils.class_indices_path(Path("my_previous_try.pth")).name == "class_indices.json"


def test_class_indices(tmp_path: Path) -> None:
    path = tmp_path / "class_indices.json"
    path.write_text(json.dumps({"0": "雏菊", "1": "rose"}, ensure_ascii=False), encoding="utf-8")
    assert utils.read_class_indices(path) == {"0": "雏菊", "1": "rose"}


class Terminal(io.StringIO):
    """What a terminal shows: text that is written over is gone."""

    def isatty(self) -> bool:
        return True

    def shown(self) -> list[str]:
        lines = []
        for line in self.getvalue().split("\n"):
            shown = ""
            for part in line.split("\r"):
                shown = part + shown[len(part) :]
            lines.append(shown.rstrip())
        return lines


def test_the_progress_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, clock = Terminal(), itertools.count(1)
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(utils.time, "monotonic", lambda: next(clock))  # each step takes a second: each is drawn
    bar = utils.ProgressBar([123.456, 9.5, 9.25, 9.125], "train epoch[1/2]")
    for loss in bar:
        bar.loss = torch.tensor(loss)
    [line, rest] = terminal.shown()
    assert line.startswith("train epoch[1/2] 100%[") and line.endswith("->] loss:9.125") and rest == ""
    assert "loss:123.456" in terminal.getvalue() and terminal.getvalue().count("\r") == 4


def test_an_unreadable_image_gets_a_line_of_its_own_below_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Images:
        def __len__(self) -> int:
            return 3

        def __iter__(self) -> Iterator[int]:
            yield 1
            raise utils.UserError("cannot read the image")

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    with pytest.raises(utils.UserError):
        list(utils.ProgressBar(Images(), "train"))
    assert terminal.getvalue().endswith("\n") and "33%" in terminal.getvalue()


def test_long_names_are_shortened_in_their_middle() -> None:
    name = "a" * 40 + "b" * 40
    assert utils.drawable(name, longest=30) == "a" * 15 + "..." + "b" * 12
    assert utils.drawable("a" * 30, longest=30) == "a" * 30


def test_letters_without_a_glyph_are_drawn_as_question_marks(capsys: pytest.CaptureFixture) -> None:
    assert utils.drawable("Süße Katze") == "Süße Katze"
    utils.note_missing_font.cache_clear()
    assert capsys.readouterr().out == ""
    assert utils.drawable("a\U0010fffd$") == r"a?\$"
    assert utils.drawable("b\U0010fffd") == "b?"
    assert capsys.readouterr().out.count("\n") == 1  # said once
