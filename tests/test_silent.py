"""Nothing is wrong in silence, or found late: odd images, names, weights, full disks."""

import json
import os
import re
import shutil
import struct
import sys
import zlib
from pathlib import Path
from types import ModuleType
from unittest.mock import Mock

import numpy as np
import plain
import pytest
import torch
from drawn import draw_data_set, draw_image
from PIL import Image
from running import Patch, Tiny, fails, load, run_here, works
from tiny import TinyLesson
from torch import nn


@pytest.fixture
def lenet(tmp_path: Path, cifar10: Path) -> TinyLesson:
    return TinyLesson(plain.LENET, tmp_path, cifar10)


@pytest.fixture
def resnet(tmp_path: Path, data_set: Path) -> TinyLesson:
    """Test5 after an epoch. Its batch_predict.py has the same tiny net."""
    lesson = TinyLesson(plain.RESNET, tmp_path, data_set)
    works(lesson.train("--epochs", 1))
    return lesson


def batch_predict(resnet: TinyLesson, *options: object) -> object:
    fixed = ["--output-dir", resnet.out, "--device", "cpu"]
    return run_here(resnet.folder / "batch_predict.py", *options, *fixed)


# ---- images ----


def png_with(path: Path, kind: bytes, content: bytes) -> Path:
    """A PNG with one more chunk."""
    Image.new("RGB", (8, 8), (200, 30, 40)).save(path)
    data = path.read_bytes()
    chunk = struct.pack(">I", len(content)) + kind + content
    chunk += struct.pack(">I", zlib.crc32(kind + content))
    path.write_bytes(data[:33] + chunk + data[33:])  # after IHDR
    return path


def test_a_picture_whose_exif_is_damaged_is_read(helpers: ModuleType, tmp_path: Path) -> None:
    profile = b"Raw profile type exif\0\nexif\n      12\n" + b"45786966000041414141414141"
    for name, kind, content in (("text", b"tEXt", profile), ("exif", b"eXIf", b"no TIFF file")):
        path = png_with(tmp_path / f"{name}.png", kind, content)
        with Image.open(path) as image, pytest.raises(Exception, match="TIFF"):
            image.load()
            image.getexif()
        assert helpers.open_image(path).getpixel((4, 4)) == (200, 30, 40)


def test_integers_of_32_bits_keep_their_brightness(helpers: ModuleType, tmp_path: Path) -> None:
    def opened(value: int, kind: type, suffix: str) -> int:
        path = tmp_path / f"{value}.{suffix}"
        Image.fromarray(np.full((4, 4), value, dtype=kind)).save(path)
        return helpers.open_image(path).getpixel((0, 0))[0]

    assert opened(200, np.int32, "tif") == 200  # values up to 255 are 8 bits' worth
    assert opened(65535, np.int32, "tif") == 255
    assert opened(257, np.uint16, "png") == 1  # a dark picture of 16 bits stays dark
    assert opened(200, np.uint16, "png") == 0
    with pytest.raises(helpers.UserError, match="32 bits"):
        opened(2**20, np.int32, "tif")


def test_an_unreadable_validation_picture_is_found_at_the_start(tiny: Tiny, tmp_path: Path) -> None:
    tiny.data = draw_data_set(tmp_path / "data")
    path = tiny.data / "val" / "red" / "red_0.png"
    os.truncate(path, 200)
    result = tiny.train()
    fails(result, path)
    assert "train epoch" not in result.out


def test_loose_pictures_and_stray_files(tiny: Tiny, tmp_path: Path) -> None:
    tiny.data = draw_data_set(tmp_path / "data")
    for part in ("train", "val"):
        draw_image((1, 2, 3), 4).save(tiny.data / part / "loose.png")
        (tiny.data / part / "notes.txt").touch()
    lines = works(tiny.train("--epochs", 1)).lines("left out of")
    assert [
        str(tiny.data / part) in line for part, line in zip(("train", "val"), lines, strict=True)
    ]
    assert all("1 images" in line and "loose.png" in line for line in lines)
    result = works(run_here(tiny.folder / "predict.py", "--data-path", tiny.data))
    assert "true class: " in result.out


def test_image_folder_takes_what_torchvisions_takes(helpers: ModuleType, data_set: Path) -> None:
    images = helpers.ImageFolder(
        str(data_set / "train"), transform=None, target_transform=lambda label: label + 10
    )
    image, label = images[0]
    assert isinstance(image, Image.Image) and label == 10
    assert images.classes == ["blue", "red"] and images.targets == [0] * 4 + [1] * 4
    assert images.imgs == images.samples


# ---- names of files and classes ----


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_names_that_are_not_utf_8(resnet: TinyLesson, tmp_path: Path) -> None:
    """File names in GBK: escaped in the CSV and in pictures, as on the console."""
    folder = os.fsencode(tmp_path / "test" / "红").replace("红".encode(), "红".encode("gbk"))
    Path(os.fsdecode(folder)).mkdir(parents=True)
    shutil.copy(resnet.data / "val" / "red" / "red_0.png", folder + b"/\xba\xec.png")
    table = tmp_path / "a.csv"
    result = works(batch_predict(resnet, tmp_path / "test", "--csv", table))
    assert "image: " in result.out
    text = table.read_text(encoding="utf-8-sig")
    assert r"\udcba\udcec/\udcba\udcec.png" in text

    data = draw_data_set(tmp_path / "data")
    for part in ("train", "val"):
        place = data / part
        (place / "red").rename(place / os.fsdecode(b"\xba\xec"))
    resnet.data, resnet.out = data, tmp_path / "out"
    works(
        run_here(
            resnet.folder / "train.py",
            "--data-path",
            data,
            "--epochs",
            1,
            "--output-dir",
            resnet.out,
            "--weights",
            "none",
            "--device",
            "cpu",
        )
    )
    assert (resnet.out / "resNet34_mistakes.png").exists()
    works(run_here(resnet.folder / "predict.py", "--data-path", data, "--output-dir", resnet.out))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda test: (test / "green").mkdir(), ["green", "no class"]),
        (lambda test: draw_image((1, 2, 3), 4).save(test / "stray.png"), ["stray.png"]),
        (lambda test: (test / "red").rename(test / "Red"), ["Red", "no class"]),
    ],
    ids=["one class more", "a stray picture", "another case"],
)
def test_why_batch_predict_gives_no_accuracy(
    change: object, words: list[str], resnet: TinyLesson, tmp_path: Path
) -> None:
    test = draw_data_set(tmp_path / "test", val=1) / "train"
    assert "accuracy: " in works(batch_predict(resnet, test)).out
    change(test)
    if (test / "green").exists():
        draw_image((1, 2, 3), 4).save(test / "green" / "a.png")
    lines = works(batch_predict(resnet, test)).lines("no accuracy: ")
    assert len(lines) == 1 and all(word in lines[0] for word in words)


def test_batch_predict_takes_one_image(resnet: TinyLesson) -> None:
    path = resnet.data / "val" / "red" / "red_0.png"
    result = works(batch_predict(resnet, path, "--csv", resnet.out / "a.csv"))
    assert len(result.lines("image: red_0.png")) == 1 and "accuracy" not in result.out
    fails(batch_predict(resnet, resnet.data / "gone.png"), "gone.png")


def test_fewer_names_than_the_weights_have_classes(tiny: Tiny, tmp_path: Path) -> None:
    tiny.data = draw_data_set(tmp_path / "data", classes=("blue", "green", "red"))
    works(tiny.train("--epochs", 1))
    names = tiny.folder / "class_indices.json"
    names.write_text(json.dumps({"0": "blue", "1": "red"}), encoding="utf-8")
    fails(tiny.predict(), "AlexNet.pth", "class_indices.json names 2 classes")
    names.unlink()
    fails(tiny.predict(), names)


def test_lenets_class_names_are_those_of_cifar10(lenet: TinyLesson, cifar10: Path) -> None:
    """A net that is sure of one class names it as CIFAR-10's own list does."""
    official = ["plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    works(lenet.train("--epochs", 1))
    assert json.loads((lenet.out / "class_indices.json").read_text()) == {
        str(index): name for index, name in enumerate(official)
    }
    state = torch.load(lenet.save_path, weights_only=True)
    image = lenet.out / "a.png"
    draw_image((9, 99, 9), 1).save(image)
    for index, name in enumerate(official):
        state["fc.weight"] = torch.zeros(10, 8)
        state["fc.bias"] = nn.functional.one_hot(torch.tensor(index), 10) * 9.0
        torch.save(state, lenet.save_path)
        assert f"  class: {name}  prob: 0.99" in works(lenet.predict(image)).out


# ---- weights ----


def test_weights_beside_other_things(tiny: Tiny, tmp_path: Path) -> None:
    works(tiny.train("--epochs", 1))
    state = torch.load(tiny.folder / "AlexNet.pth", weights_only=True)
    expected = works(tiny.predict()).lines("class: ")
    shutil.copy(tiny.folder / "class_indices.json", tmp_path)
    for content in ({**state, "epoch": 3}, {"model": state, "extra": {}, "epoch": 3}):
        torch.save(content, tmp_path / "other.pth")
        assert works(tiny.predict("--weights", tmp_path / "other.pth")).lines("class: ") == expected
    for content in ({"a": state, "b": state}, {"epoch": 3}, {**state, "fc.bias": 3}):
        torch.save(content, tmp_path / "other.pth")
        fails(tiny.predict("--weights", tmp_path / "other.pth"), "other.pth")


def test_first_fc_and_then_all_layers(
    resnet: TinyLesson, tmp_path: Path, monkeypatch: Patch
) -> None:
    """In two commands: fc of a file with as many classes is taken, and it is said."""
    start = resnet.save_path
    before = torch.load(start, weights_only=True)
    out = tmp_path / "frozen"
    options = ["--epochs", 1, "--output-dir", out, "--weights"]
    result = works(resnet.train(*options, start, "--freeze-layers"))
    assert "fc are loaded too" in result.out
    frozen = torch.load(out / "resNet34.pth", weights_only=True)
    assert torch.equal(frozen["conv.weight"], before["conv.weight"])
    assert torch.equal(frozen["bn.running_mean"], before["bn.running_mean"])
    assert not torch.equal(frozen["fc.weight"], before["fc.weight"])
    # then all layers, from the file in the same folder, with a rate that moves hardly anything
    works(resnet.train(*options, out / "resNet34.pth", "--lr", 1e-9))
    after = torch.load(out / "resNet34.pth", weights_only=True)
    assert torch.allclose(after["fc.weight"], frozen["fc.weight"], atol=1e-6)
    assert not torch.equal(after["conv.weight"], frozen["conv.weight"])
    # with other classes, all but fc
    three = draw_data_set(tmp_path / "three", classes=("blue", "green", "red"))
    other = ["--epochs", 1, "--output-dir", tmp_path / "three", "--lr", 1e-9, "--weights", start]
    resnet.data = three
    assert "fc are loaded too" not in works(resnet.train(*other)).out
    after = torch.load(tmp_path / "three" / "resNet34.pth", weights_only=True)
    assert torch.allclose(after["conv.weight"], before["conv.weight"], atol=1e-6)
    assert after["fc.weight"].shape == (3, 8)


def test_fc_of_several_layers_and_then_all(resnet: TinyLesson, tmp_path: Path) -> None:
    """Her own fc is left out where it does not fit, and taken where it does."""
    resnet.edits.value("net.fc", "nn.Sequential(nn.Dropout(0.1), {old})")
    options = ["--epochs", 1, "--lr", 1e-9, "--output-dir", tmp_path, "--weights"]
    assert "fc are loaded too" not in works(resnet.train(*options, resnet.save_path)).out
    before = torch.load(tmp_path / "resNet34.pth", weights_only=True)
    assert "fc are loaded too" in works(resnet.train(*options, tmp_path / "resNet34.pth")).out
    after = torch.load(tmp_path / "resNet34.pth", weights_only=True)
    assert torch.allclose(before["fc.1.weight"], after["fc.1.weight"], atol=1e-6)


def test_freeze_layers_forgotten_on_resume_is_named(resnet: TinyLesson, tmp_path: Path) -> None:
    options = ["--output-dir", tmp_path / "frozen"]
    weights = ["--weights", resnet.save_path]
    works(resnet.train(*options, *weights, "--epochs", 1, "--freeze-layers"))
    result = resnet.train(*options, "--epochs", 2, "--resume")
    fails(result, "no --freeze-layers")


def test_weights_of_another_net_are_refused(resnet: TinyLesson, tmp_path: Path) -> None:
    state = torch.load(resnet.save_path, weights_only=True)
    for name, content in {
        "missing": {key: value for key, value in state.items() if key != "conv.weight"},
        "unexpected": {**state, "conv9.weight": torch.zeros(3)},
        "shape": {**state, "conv.weight": torch.zeros(8, 3, 5, 5)},
    }.items():
        torch.save(content, tmp_path / f"{name}.pth")
        result = resnet.train("--weights", tmp_path / f"{name}.pth", "--output-dir", tmp_path / "o")
        fails(result, f"{name}.pth", "conv9.weight" if name == "unexpected" else "conv.weight")
        assert not (tmp_path / "o").exists()


def test_a_file_that_is_cut_short_is_called_so(tiny: Tiny, monkeypatch: Patch) -> None:
    """And one that the machine has no memory for is not called damaged."""
    works(tiny.train("--epochs", 1))
    weights = tiny.folder / "AlexNet.pth"
    content = weights.read_bytes()
    weights.write_bytes(content[: len(content) // 2])
    fails(tiny.predict(), weights, "damaged, or not all of it is there")
    weights.write_bytes(content)
    monkeypatch.setattr(torch, "load", Mock(side_effect=MemoryError()))
    result = tiny.predict()
    fails(result, "MemoryError")
    assert "damaged" not in result.err and "torch.save" not in result.err


# ---- saving ----


def test_a_full_disk_is_called_so(tiny: Tiny, monkeypatch: Patch) -> None:
    """torch says "unexpected pos 64 vs 0" of it."""
    usage = shutil.disk_usage(tiny.folder)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    full = RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0")
    monkeypatch.setattr(torch, "save", Mock(side_effect=full))
    result = tiny.train()
    fails(result, "the disk is full")
    assert re.search(r"\d+\.\d MB are needed, and 0\.0 MB are free", result.err)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10**12))
    fails(tiny.train(), "AlexNet.pth", "unexpected pos 64")


def test_a_figure_of_an_unknown_kind(tiny: Tiny) -> None:
    works(tiny.train("--epochs", 1))
    result = tiny.predict("--save", tiny.folder / "a.xyz")
    fails(result, "a.xyz", "supported formats")
    assert "--output-dir" not in result.err and "class: red" in result.out


def test_a_data_set_that_also_returns_the_path(data_set: Path, tmp_path: Path) -> None:
    """The picture of the mistakes passes over it, after all epochs."""
    plots = load(plain.ALEXNET, "plots")
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    loader = [(torch.rand(3, 3, 2, 2), torch.tensor([0, 1, 1]), ["a", "b", "c"])]
    plots.draw_validation(tmp_path / "AlexNet.pth", net, loader, ["blue", "red"])
    assert (tmp_path / "AlexNet_mistakes.png").exists()


def test_data_that_lies_on_another_device(data_set: Path, tmp_path: Path) -> None:
    """Labels and images are brought to the CPU before they are compared and drawn."""
    plots = load(plain.ALEXNET, "plots")
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    images, labels = torch.rand(3, 3, 2, 2), Mock(spec=torch.Tensor)
    labels.cpu.return_value = torch.tensor([0, 1, 1])
    plots.draw_validation(tmp_path / "AlexNet.pth", net, [(images, labels)], ["blue", "red"])
    assert (tmp_path / "AlexNet_confusion.png").exists()


def test_learning_rates_that_are_none(tiny: Tiny) -> None:
    for value in ("0", "-1", "nan", "inf", "fast"):
        result = tiny.train("--lr", value)
        line = result.err.splitlines()[-1]
        assert result.status == 2 and "--lr" in line and value in line and "e-30" not in line


def test_a_folder_without_images_and_a_name_of_two_lines_among_good_ones(tiny: Tiny) -> None:
    """The others are predicted, the figure is drawn, and what was wrong is named in the end."""
    works(tiny.train("--epochs", 1))
    (tiny.folder / "empty").mkdir()
    bad = [tiny.folder / "a\nb.jpg", tiny.folder / "bad.jpg"]
    if sys.platform == "win32":
        bad = bad[1:]
    for path in bad:
        path.write_bytes(b"no image")
    good = tiny.data / "val" / "red" / "red_0.png"
    script = tiny.folder / "predict.py"
    result = run_here(script, bad[0], tiny.folder / "empty", good, bad[-1])
    fails(result, "empty", "bad.jpg")
    assert len(result.lines("image: red_0.png")) == 1
    assert (tiny.folder / "AlexNet_prediction.png").exists()


def test_a_loader_shows_the_data_set_that_it_was_given(helpers: ModuleType, data_set: Path) -> None:
    images = helpers.ImageFolder(data_set / "train")
    loader = helpers.DataLoader(images, batch_size=2, collate_fn=list)
    assert loader.dataset.classes == ["blue", "red"] and len(loader.dataset) == 8
    loader.dataset.transform = lambda image: "changed"
    assert next(iter(loader))[0] == ("changed", 0) and images.transform is not None
    for wrong in (Mock(spec=torch.utils.data.IterableDataset), images):
        options = {"batch_size": None} if wrong is images else {}
        with pytest.raises(ValueError, match=r"torch\.utils\.data\.DataLoader"):
            helpers.DataLoader(wrong, **options)


LEARNERS_WORDS = {
    'raise RuntimeError("no file </torch_models/a.pth>")': RuntimeError,
    'raise RuntimeError("DataLoader worker (pid 3) my table")': RuntimeError,
    'raise MemoryError("my table of labels is too long")': MemoryError,
    "torch.zeros(10**14)": RuntimeError,
    "nn.Linear(2, 3).load_state_dict({})": RuntimeError,
    'open("labels.csv")': FileNotFoundError,
}


@pytest.mark.parametrize("statement", LEARNERS_WORDS)
def test_a_learners_own_error_is_not_taken_for_another(statement: str, tiny: Tiny) -> None:
    with pytest.raises(LEARNERS_WORDS[statement]):
        tiny.train(changes=[("        net.train()", f"        {statement}\n        net.train()")])
