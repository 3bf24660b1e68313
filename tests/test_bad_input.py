"""Whatever a learner feeds the scripts: it works, or one line says what is wrong and the exit status is 1."""

import io
import os
import pickle
import re
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import matplotlib
import pytest
import torch
from conftest import (
    LESSONS,
    ROOT,
    Patch,
    Result,
    copy_lesson,
    draw_data_set,
    draw_image,
    fails,
    load,
    run_here,
    tiny_lesson,
    works,
)
from PIL import Image
from torchvision.datasets import CIFAR10

BAD_OPTIONS = [
    ("--epochs", "0"), ("--epochs", "three"), ("--batch-size", "0"), ("--batch-size", "9" * 20), ("--lr", "-0.1"),
    ("--lr", "nan"), ("--lr", "inf"), ("--workers", "-1"), ("--seed", "-1"), ("--device", "cuda:99"),
    ("--device", "abacus"), ("--device", "cpu:-1"), ("--amp", None),
]  # fmt: skip


@pytest.mark.parametrize("folder", LESSONS)
def test_bad_options_end_with_status_2(folder: str, tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    script = copy_lesson(folder, tmp_path) / "train.py"
    for option, value in BAD_OPTIONS if folder == "Test2_alexnet" else BAD_OPTIONS[:2]:
        result = run_here(script, option, *([value] if value else []))
        assert result.status == 2 and option in result.err.splitlines()[-1], (option, value, result.err)
    if folder in ("Test3_vggnet", "Test5_resnet"):
        for name in ("train.py", "predict.py"):
            result = run_here(script.with_name(name), "--model-name", "vgg12")
            assert result.status == 2 and "choose from" in result.err
    assert folder != "Test5_resnet" or run_here(script, "--freeze-layers", "--weights", "none").status == 2


def test_amp_computes_in_bfloat16(tmp_path: Path, data_set: Path, monkeypatch: Patch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    script, losses = tiny_lesson(tmp_path) / "train.py", []
    for more in ([], ["--amp"], ["--amp", "--resume", "--epochs", 2]):
        assert run_here(script, "--data-path", data_set, "--epochs", 1, *more).status == 0
        state = torch.load(script.with_name("AlexNet_last.pth"), weights_only=True)
        losses.append(state["history"][0]["train_loss"])
        assert all(value.dtype != torch.bfloat16 for value in state["net"].values())
    assert losses[0] != losses[1] == losses[2] and losses[0] == pytest.approx(losses[1], abs=0.05)


BAD_DATA: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "no folder": (lambda data: shutil.rmtree(data), ["train", "--data-path"]),
    "no val": (lambda data: shutil.rmtree(data / "val"), ["val"]),
    "no class in val": (lambda data: shutil.rmtree(data / "val" / "red"), ["val"]),
    "another class": (lambda data: (data / "val/red").rename(data / "val/crimson"), ["crimson", "red"]),
    "one class": (lambda data: [shutil.rmtree(data / part / "red") for part in ("train", "val")], ["train"]),
    "empty class": (lambda data: [p.unlink() for p in (data / "train" / "red").iterdir()], ["red"]),
    "text": (lambda data: (data / "train" / "red" / "花.jpg").write_text("no image"), ["花.jpg"]),
    "cut short": (lambda data: os.truncate(data / "val" / "red" / "red_0.png", 200), ["red_0.png"]),
}


@pytest.mark.parametrize(("name", "workers"), [*((name, 0) for name in BAD_DATA), ("text", 1)])
def test_bad_data(name: str, workers: int, tmp_path: Path) -> None:
    spoil, words = BAD_DATA[name]
    data = draw_data_set(tmp_path / "data")
    spoil(data)
    options = ["--data-path", data, "--epochs", 1, "--workers", workers]
    fails(run_here(tiny_lesson(tmp_path) / "train.py", *options), *words)


def test_odd_folders_and_files_train(tmp_path: Path) -> None:
    data = draw_data_set(tmp_path / "data", train=2, val=1)
    for name in (".ipynb_checkpoints", "__MACOSX", "@eaDir", "$Recycle.Bin"):
        (data / "train" / name).mkdir()
        (data / "train" / "red" / name).mkdir()
        (data / "train" / "red" / name / "x.jpg").write_bytes(b"no image")
    (data / "train" / "red" / ".hidden.jpg").write_bytes(b"no image")
    (data / "train" / "red" / "sub" / "folder").mkdir(parents=True)
    known = Image.registered_extensions()  # AVIF is in newer Pillows alone
    endings = [e for e in ("jfif", "jpe", "gif", "dib", "bmp", "tif", "webp", "avif", "mpo") if f".{e}" in known]
    for ending in endings:
        kind = {"jfif": "JPEG", "jpe": "JPEG", "tif": "TIFF"}.get(ending, ending.upper())
        draw_image((200, 40, 40), 7).save(data / "train" / "red" / "sub" / "folder" / f"a.{ending}", format=kind)
    for name in ("a.heic", "b.heic", "notes.txt"):
        (data / "train" / "red" / name).write_bytes(b"x")
    result = run_here(tiny_lesson(tmp_path) / "train.py", "--data-path", data, "--epochs", 1, "--workers", 0)
    assert result.status == 0, result.err
    assert f"using {4 + len(endings)} images for training, 2 images for validation." in result.out
    assert "3 files" in result.out and "a.heic" in result.out


def test_cifar10_that_cannot_be_fetched(tmp_path: Path, monkeypatch: Patch) -> None:
    def fail(*args: object, **options: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(CIFAR10, "download", fail)
    for name in ("train.py", "predict.py"):
        torch.save(load("Test1_official_demo", "model").LeNet().state_dict(), tmp_path / "Lenet.pth")
        script = ROOT / "Test1_official_demo" / name
        result = run_here(script, "--data-path", tmp_path, "--output-dir", tmp_path)
        fails(result, "CIFAR-10", tmp_path, CIFAR10.url)
        assert (CIFAR10.url in result.out) == (name == "train.py")  # it says what it fetches before it does


def test_images_of_every_mode_come_upright_as_rgb(tmp_path: Path) -> None:
    helpers = load("Test2_alexnet", "helpers")

    def opened(image: Image.Image, name: str, **options: object) -> Image.Image:
        image.save(tmp_path / name, **options)
        found = helpers.open_image(tmp_path / name)
        assert found.mode == "RGB"
        return found

    red = Image.new("RGB", (9, 7), (255, 0, 0))
    for mode, suffix in {"RGB": "png", "RGBA": "png", "P": "gif", "CMYK": "tif", "YCbCr": "jpg"}.items():
        pixel = opened(red.convert(mode), f"a.{suffix}").getpixel((4, 3))
        assert pixel[0] > 252 and max(pixel[1:]) < 3
    assert opened(Image.new("1", (4, 4), 1), "a.png").getpixel((0, 0)) == (255, 255, 255)
    assert opened(Image.new("I;16", (4, 4), 65535 // 2), "a.png").getpixel((0, 0)) == (127, 127, 127)
    assert opened(Image.new("LA", (4, 4), (0, 0)), "b.png").getpixel((0, 0)) == (0, 0, 0)  # alpha: nobody filled it
    half = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    half.putpixel((0, 0), (9, 9, 9, 255))
    assert opened(half, "c.png").getpixel((1, 1)) == (255, 255, 255) != opened(half, "c.png").getpixel((0, 0))
    exif = Image.Exif()
    exif[0x0112], exif[0x829A] = 6, "no number"  # turned by 90 degrees, and an entry that is wrong
    assert opened(Image.new("RGB", (40, 20)), "d.jpg", exif=exif).size == (20, 40)
    for size in ((1, 5000), (5000, 1)):
        assert max(opened(Image.new("RGB", size), "e.png").size) == 50  # Resize(256) makes no gigabytes of it
    for mode in ("F", "I"):
        with pytest.raises(helpers.UserError, match=r"f\.tif"):
            opened(Image.new(mode, (4, 4), 2**20), "f.tif")


def test_large_photos_are_decoded_small_and_larger_ones_refused(tmp_path: Path) -> None:
    helpers = load("Test2_alexnet", "helpers")
    sizes = {(13000, 7000): (1625, 875), (1700, 6500): (850, 3250), (1590, 1590): (1590, 1590)}  # of 800 at the least
    for size, expected in sizes.items():
        Image.new("RGB", size, (200, 30, 60)).save(tmp_path / "phone.jpg")
        assert helpers.open_image(tmp_path / "phone.jpg").size == expected
    Image.new("RGB", (8, 8)).save(tmp_path / "huge.jpg")
    Image.new("1", (14_000, 14_000)).save(tmp_path / "huge.png")
    data = (tmp_path / "huge.jpg").read_bytes()
    place = data.index(b"\xff\xc0") + 5  # height and width
    (tmp_path / "huge.jpg").write_bytes(data[:place] + b"\x23\x28\xfd\xe8" + data[place + 4 :])  # 9000 x 65000
    for name in ("huge.jpg", "huge.png"):
        with pytest.raises(helpers.UserError, match=name):
            helpers.open_image(tmp_path / name)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of Test2 with a tiny net, its weights and class names, and an image."""
    copy = tiny_lesson(tmp_path_factory.mktemp("trained"))
    data = draw_data_set(copy / "data", train=1, val=1)
    assert run_here(copy / "train.py", "--data-path", data, "--epochs", 1).status == 0
    return copy


def predict(trained: Path, *options: object) -> Result:
    return run_here(trained / "predict.py", trained / "data" / "val" / "red", *options)


def state_of(trained: Path) -> dict:
    return torch.load(trained / "AlexNet.pth", weights_only=True)


class Whole(torch.nn.Module):  # what torch.save(net, ...) pickles
    pass


GOOD_WEIGHTS: dict[str, Callable[[dict], object]] = {
    "DataParallel": lambda state: {f"module.{name}": value for name, value in state.items()},
    "compile": lambda state: {f"_orig_mod.{name}": value for name, value in state.items()},
    "both": lambda state: {f"module._orig_mod.{name}": value for name, value in state.items()},
    "model": lambda state: {"model": state, "epoch": 3, "optimizer": {"state": {}, "param_groups": []}},
    "state_dict": lambda state: {"state_dict": {f"module.{name}": value for name, value in state.items()}},
    "half": lambda state: {name: value.half() if value.is_floating_point() else value for name, value in state.items()},
}
BAD_WEIGHTS: dict[str, Callable[[dict], object]] = {
    "missing": lambda state: {name: value for name, value in state.items() if name != "fc.bias"},
    "unknown": lambda state: {**state, "fc.bias2": state["fc.bias"]},
    "shape": lambda state: {**state, "fc.bias": torch.zeros(7)},
    "nan": lambda state: {**state, "fc.bias": torch.tensor([0, float("nan")])},
    "inf": lambda state: {**state, "fc.bias": torch.tensor([0, float("inf")])},
    "integers": lambda state: {**state, "fc.bias": torch.zeros(2, dtype=torch.int64)},
    "sparse": lambda state: {**state, "fc.weight": state["fc.weight"].to_sparse()},
    "quantized": lambda state: {**state, "fc.bias": torch.quantize_per_tensor(state["fc.bias"], 0.1, 0, torch.qint8)},
    "two": lambda state: {"model": state, "ema": state},
    "a list": lambda state: [1, 2],
    "a tensor": lambda state: torch.zeros(3),
    "nothing": lambda state: {},
    "whole net": lambda state: Whole(),
    "no text": lambda state: {1: torch.zeros(2)},
}
BAD_FILES: dict[str, tuple[bytes, str]] = {  # and what of it the line shows
    "git-lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git-lfs"),
    "html": (b"<!DOCTYPE html><html>404</html>", "html"),
    "safetensors": (b"\x40\0\0\0\0\0\0\0" + b'{"__metadata__":{}}' + b" " * 60, "metadata"),
    "empty": (b"", ""),
    "pickle": (pickle.dumps({"a": os.getcwd}), "posix"),
    "zip": (b"PK\x03\x04" + b"\0" * 60, ""),
}


@pytest.mark.parametrize("name", GOOD_WEIGHTS)
def test_weights_of_other_programs_are_read(name: str, trained: Path, tmp_path: Path) -> None:
    torch.save(GOOD_WEIGHTS[name](state_of(trained)), tmp_path / "other.pth")
    shutil.copy(trained / "class_indices.json", tmp_path)
    found, own = works(predict(trained, "--weights", tmp_path / "other.pth")), predict(trained)
    assert found.lines("class: ") == own.lines("class: ") or name == "half"


@pytest.mark.parametrize("name", [*BAD_WEIGHTS, *BAD_FILES])
def test_weights_that_are_none_are_named(name: str, trained: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.pth"  # without class names beside it: the weights come first
    if name in BAD_FILES:
        path.write_bytes(BAD_FILES[name][0])
    else:
        torch.save(BAD_WEIGHTS[name](state_of(trained)), path)
        shutil.copy(trained / "class_indices.json", tmp_path)
    fails(predict(trained, "--weights", path), "bad.pth", BAD_FILES.get(name, ("", ""))[1])


def test_weights_that_are_missing_or_a_torchscript_file(trained: Path, tmp_path: Path) -> None:
    fails(predict(trained, "--weights", tmp_path / "gone.pth"), "gone.pth")
    fails(predict(trained, "--weights", tmp_path), tmp_path)
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "script.pth"))
    fails(predict(trained, "--weights", tmp_path / "script.pth"), "script.pth", "TorchScript")


CLASS_INDICES = {
    "any order": (b'{"1": "red", "0": "blue"}', True), "CRLF": (b'{\r\n"0": "blue",\r\n"1": "red"}', True),
    "BOM": (b'\xef\xbb\xbf{"0": "blue", "1": "red"}', True), "GBK": ('{"0": "蓝", "1": "红"}'.encode("gbk"), False),
    "cut": (b'{"0": "blue", ', False), "list": (b'["blue", "red"]', False), "gap": (b'{"0": "a", "2": "b"}', False),
    "numbers": (b'{"0": 1, "1": 2}', False), "none": (b"{}", False), "deep": (b"[" * 100_000, False),
}  # fmt: skip


@pytest.mark.parametrize("name", CLASS_INDICES)
def test_class_indices(name: str, trained: Path, tmp_path: Path) -> None:
    content, good = CLASS_INDICES[name]
    shutil.copy(trained / "AlexNet.pth", tmp_path)
    (tmp_path / "class_indices.json").write_bytes(content)
    result = predict(trained, "--output-dir", tmp_path)
    if good:
        assert result.status == 0 and "class: red " in result.out
    else:
        fails(result, "class_indices.json")


def test_a_full_disk_and_a_folder_that_cannot_be_written(tmp_path: Path, data_set: Path, monkeypatch: Patch) -> None:
    script = tiny_lesson(tmp_path) / "train.py"
    options = ["--data-path", data_set, "--epochs", 1, "--workers", 0]
    (tmp_path / "file").write_text("")
    fails(run_here(script, *options, "--output-dir", tmp_path / "file" / "x"), "--output-dir")
    run_here(script, *options)
    before = script.with_name("AlexNet.pth").read_bytes()
    save = torch.save

    def full(content: dict, path: Path) -> None:
        save(content, path)
        if "history" in content:
            os.truncate(path, 100)
            raise RuntimeError("PytorchStreamWriter failed writing file data/3: file write failed")

    monkeypatch.setattr(torch, "save", full)
    fails(run_here(script, *options), "AlexNet_last.pth", "file write failed")
    assert not script.with_name("AlexNet_last.pth").exists() and not list(script.parent.glob("*.tmp"))
    assert script.with_name("AlexNet_previous.pth").read_bytes() == before


def test_renames_that_fail_for_a_moment(tmp_path: Path, data_set: Path, monkeypatch: Patch) -> None:
    """As on Windows, where a viewer or a virus scanner holds a file open."""
    replace, tries = Path.replace, []

    def held(self: Path, target: Path) -> Path:
        tries.append(target.name)
        if (tries.count(target.name) < 3 and "previous" not in target.name) or "results" in target.name:
            raise PermissionError(13, "held open", str(self))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", held)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    script = tiny_lesson(tmp_path) / "train.py"
    result = run_here(script, "--data-path", data_set, "--epochs", 1, "--workers", 0)
    assert result.status == 0 and "AlexNet_results.png" in result.out and "Finished Training" in result.out
    assert script.with_name("AlexNet_last.pth").exists()


TORCH_SAYS = {
    "DataLoader worker (pid 7) is killed by signal: Bus error. ": "--workers 0",
    "unable to write to file </torch_7_8_9>: No space left on device (28)": "--shm-size",
    "CUDA out of memory. Tried to allocate 2 GiB": "--batch-size",
    "[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory": "--batch-size",
}  # fmt: skip


def test_what_a_machine_lacks_is_one_line(monkeypatch: Patch) -> None:
    helpers = load("Test2_alexnet", "helpers")

    def ending(error: BaseException) -> str:
        def main() -> None:
            raise error

        with pytest.raises(SystemExit) as end:
            helpers.run(main)
        return str(end.value)

    for text, word in TORCH_SAYS.items():
        assert word in ending(RuntimeError(text)) and "\n" not in ending(RuntimeError(text))
    assert "--batch-size" in ending(MemoryError()) and ending(KeyboardInterrupt()) == "130"
    for kind in (RuntimeError, ValueError, KeyError):
        with pytest.raises(kind, match="a mistake"):
            ending(kind("a mistake"))
    old = torch.torch_version.TorchVersion("2.5.1")
    for place, name, value in ((sys, "version_info", (3, 9, 1)), (torch, "__version__", old)):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, value)
            assert "pip install" in ending(AssertionError("main() must not run"))


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "nbAgg", "no_such", ""])
def test_a_notebooks_backend(backend: str, trained: Path, tmp_path: Path, monkeypatch: Patch) -> None:
    """`!python` in a notebook hands its MPLBACKEND on: the picture is written and named all the same."""
    monkeypatch.setenv("MPLBACKEND", backend)
    monkeypatch.setitem(matplotlib.rcParams, "text.usetex", True)
    result = works(predict(trained, "--weights", trained / "AlexNet.pth", "--output-dir", tmp_path))
    assert str(tmp_path / "AlexNet_prediction.png") in result.out and not result.err
    assert (tmp_path / "AlexNet_prediction.png").read_bytes().startswith(b"\x89PNG")


def test_pipes_and_letters_that_the_console_lacks(trained: Path, tmp_path: Path, monkeypatch: Patch) -> None:
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.jpg")
        fails(run_here(trained / "predict.py", tmp_path / "pipe.jpg"), "pipe.jpg")
    fails(run_here(trained / "predict.py", tmp_path / "none.jpg"), "none.jpg")
    fails(run_here(trained / "predict.py", tmp_path), tmp_path)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    load("Test2_alexnet", "helpers").run(lambda: print("花"))
    assert sys.stdout.buffer.getvalue() == b"\\u82b1" + os.linesep.encode()  # at once, without a flush


def test_signs_of_life_in_a_long_epoch(capsys: pytest.CaptureFixture, monkeypatch: Patch) -> None:
    helpers = load("Test2_alexnet", "helpers")
    clock = iter(range(0, 1000, 3))
    monkeypatch.setattr(helpers.time, "monotonic", lambda: next(clock))  # each batch takes 3 s to come and 3 s to use

    def lines() -> list[str]:
        bar = helpers.ProgressBar(range(10), "train epoch[1/2]")
        for _ in bar:
            bar.loss = 1.5
        assert bar.waited == 30
        return re.split(r"[\r\n]+", capsys.readouterr().out.strip())

    found = lines()
    assert found[-1] == f"train epoch[1/2] 100%[{'*' * 50}->] loss:1.500" and len(found) == 5
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(helpers.shutil, "get_terminal_size", lambda: os.terminal_size((70, 20)))
    found = lines()
    assert len(found) == 10 and all(len(line.rstrip()) < 70 for line in found)
