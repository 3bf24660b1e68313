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
from types import ModuleType
from unittest.mock import Mock

import matplotlib
import pytest
import torch
from drawn import draw_data_set, draw_image
from PIL import Image
from running import ROOT, Patch, Tiny, fails, load, run_here, works
from torchvision.datasets import CIFAR10

BAD_OPTIONS = [
    ("--epochs", "0"), ("--epochs", "three"), ("--batch-size", "0"), ("--batch-size", "9" * 20), ("--lr", "-0.1"),
    ("--lr", "nan"), ("--lr", "inf"), ("--workers", "-1"), ("--seed", "-1"), ("--device", "cuda:99"),
    ("--device", "abacus"), ("--device", "cpu:-1"), ("--amp", None),
]  # fmt: skip


def test_bad_options_end_with_status_2(folder: str, monkeypatch: Patch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    script = ROOT / folder / "train.py"
    tried = [
        (script, *bad) for bad in (BAD_OPTIONS if folder == "Test2_alexnet" else BAD_OPTIONS[:2])
    ]
    if folder in ("Test3_vggnet", "Test5_resnet"):
        tried += [
            (path, "--model-name", "vgg12") for path in (script, script.with_name("predict.py"))
        ]
    for path, option, value in tried:
        result = run_here(path, option, *([value] if value else []))
        assert result.status == 2 and option in result.err.splitlines()[-1], (
            option,
            value,
            result.err,
        )
    assert (
        folder != "Test5_resnet"
        or run_here(script, "--freeze-layers", "--weights", "none").status == 2
    )


def test_amp_computes_in_bfloat16(tiny: Tiny, monkeypatch: Patch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    losses = []
    for more in ([], ["--amp"]):
        works(tiny.train("--epochs", 1, *more))
        losses.append(tiny.history()[0]["train_loss"])
        assert all(value.dtype != torch.bfloat16 for value in tiny.last()["net"].values())
    assert losses[0] != losses[1] == pytest.approx(losses[0], abs=0.05)


BAD_DATA: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "no folder": (lambda data: shutil.rmtree(data), ["train", "--data-path"]),
    "no val": (lambda data: shutil.rmtree(data / "val"), ["val"]),
    "no class in val": (lambda data: shutil.rmtree(data / "val" / "red"), ["val"]),
    "another class": (
        lambda data: (data / "val/red").rename(data / "val/crimson"),
        ["crimson", "red"],
    ),
    "one class": (
        lambda data: [shutil.rmtree(data / part / "red") for part in ("train", "val")],
        ["train"],
    ),
    "empty class": (lambda data: [p.unlink() for p in (data / "train" / "red").iterdir()], ["red"]),
    "text": (lambda data: (data / "train" / "red" / "花.jpg").write_text("no image"), ["花.jpg"]),
    "cut short": (lambda data: os.truncate(data / "val" / "red" / "red_0.png", 200), ["red_0.png"]),
}


@pytest.mark.parametrize(("name", "workers"), [*((name, 0) for name in BAD_DATA), ("text", 1)])
def test_bad_data(name: str, workers: int, tiny: Tiny, tmp_path: Path) -> None:
    spoil, words = BAD_DATA[name]
    tiny.data = draw_data_set(tmp_path / "data")
    spoil(tiny.data)
    fails(tiny.train("--workers", workers), *words)


def test_odd_folders_and_files_train(tiny: Tiny, tmp_path: Path) -> None:
    data = tiny.data = draw_data_set(tmp_path / "data", train=2, val=1)
    for name in (".ipynb_checkpoints", "__MACOSX", "@eaDir", "$Recycle.Bin"):
        for folder in (data / "train" / name, data / "train" / "red" / name):
            folder.mkdir()
            (folder / "x.jpg").write_bytes(b"no image")
    (data / "train" / "red" / ".hidden.jpg").write_bytes(b"no image")
    (data / "train" / "red" / "sub" / "folder").mkdir(parents=True)
    kinds = {
        ".jfif": "JPEG",
        ".jpe": "JPEG",
        ".gif": "GIF",
        ".dib": "BMP",
        ".mpo": "MPO",
        ".avif": "AVIF",
    }
    kinds = {
        ending: kind for ending, kind in kinds.items() if ending in Image.registered_extensions()
    }  # AVIF is new
    for ending, kind in kinds.items():
        draw_image((200, 40, 40), 7).save(
            data / "train" / "red" / "sub" / "folder" / f"a{ending}", format=kind
        )
    for name in ("a.heic", "b.heic", "notes.txt"):
        (data / "train" / "red" / name).write_bytes(b"x")
    result = works(tiny.train())
    assert f"using {4 + len(kinds)} images for training, 2 images for validation." in result.out
    assert "3 files" in result.out and "a.heic" in result.out


def test_cifar10_that_cannot_be_fetched(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setattr(CIFAR10, "download", Mock(side_effect=OSError("no network")))
    torch.save(load("Test1_official_demo", "model").LeNet().state_dict(), tmp_path / "Lenet.pth")
    for name in ("train.py", "predict.py"):
        result = run_here(
            ROOT / "Test1_official_demo" / name, "--data-path", tmp_path, "--output-dir", tmp_path
        )
        fails(result, "CIFAR-10", tmp_path, CIFAR10.url)
        assert (CIFAR10.url in result.out) == (
            name == "train.py"
        )  # it says what it fetches before it does


def test_images_of_every_mode_come_upright_as_rgb(helpers: ModuleType, tmp_path: Path) -> None:
    def opened(image: Image.Image, name: str, **options: object) -> Image.Image:
        image.save(tmp_path / name, **options)
        found = helpers.open_image(tmp_path / name)
        assert found.mode == "RGB"
        return found

    for mode, suffix in {
        "RGB": "png",
        "RGBA": "png",
        "P": "gif",
        "CMYK": "tif",
        "YCbCr": "jpg",
    }.items():
        red = opened(Image.new("RGB", (9, 7), (255, 0, 0)).convert(mode), f"a.{suffix}").getpixel(
            (4, 3)
        )
        assert red[0] > 252 and max(red[1:]) < 3
    assert opened(Image.new("1", (4, 4), 1), "a.png").getpixel((0, 0)) == (255, 255, 255)
    assert opened(Image.new("I;16", (4, 4), 65535 // 2), "a.png").getpixel((0, 0)) == (
        127,
        127,
        127,
    )
    assert opened(Image.new("LA", (4, 4), (0, 0)), "b.png").getpixel((0, 0)) == (
        0,
        0,
        0,
    )  # alpha: nobody filled it
    half = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    half.putpixel((0, 0), (9, 9, 9, 255))
    assert (
        opened(half, "c.png").getpixel((1, 1))
        == (255, 255, 255)
        != opened(half, "c.png").getpixel((0, 0))
    )
    exif = Image.Exif()
    exif[0x0112], exif[0x829A] = 6, "no number"  # turned by 90 degrees, and an entry that is wrong
    assert opened(Image.new("RGB", (40, 20)), "d.jpg", exif=exif).size == (20, 40)
    for size in ((1, 5000), (5000, 1)):
        assert (
            max(opened(Image.new("RGB", size), "e.png").size) == 50
        )  # Resize(256) makes no gigabytes of it
    for mode in ("F", "I"):
        with pytest.raises(helpers.UserError, match=r"f\.tif"):
            opened(Image.new(mode, (4, 4), 2**20), "f.tif")


def test_large_photos_are_decoded_small_and_larger_ones_refused(
    helpers: ModuleType, tmp_path: Path
) -> None:
    sizes = {
        (13000, 7000): (1625, 875),
        (1700, 6500): (850, 3250),
        (1590, 1590): (1590, 1590),
    }  # of 800 at the least
    for size, expected in sizes.items():
        Image.new("RGB", size, (200, 30, 60)).save(tmp_path / "phone.jpg")
        assert helpers.open_image(tmp_path / "phone.jpg").size == expected
    Image.new("RGB", (8, 8)).save(tmp_path / "huge.jpg")
    Image.new("1", (14_000, 14_000)).save(tmp_path / "huge.png")
    data = (tmp_path / "huge.jpg").read_bytes()
    place = data.index(b"\xff\xc0") + 5  # height and width
    (tmp_path / "huge.jpg").write_bytes(
        data[:place] + b"\x23\x28\xfd\xe8" + data[place + 4 :]
    )  # 9000 x 65000
    for name in ("huge.jpg", "huge.png"):
        with pytest.raises(helpers.UserError, match=name):
            helpers.open_image(tmp_path / name)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, data_set: Path) -> Tiny:
    """A copy of Test2 with a tiny net, its weights and class names. Tests only read it."""
    tiny = Tiny(tmp_path_factory.mktemp("trained"), data_set)
    works(tiny.train())
    tiny.lines = works(tiny.predict()).lines("class: ")
    return tiny


GOOD_WEIGHTS: dict[str, Callable[[dict], object]] = {
    "DataParallel": lambda state: {f"module.{name}": value for name, value in state.items()},
    "compile": lambda state: {f"module._orig_mod.{name}": value for name, value in state.items()},
    "model": lambda state: {
        "model": state,
        "epoch": 3,
        "optimizer": {"state": {}, "param_groups": []},
    },
    "state_dict": lambda state: {
        "state_dict": {f"module.{name}": value for name, value in state.items()}
    },
    "half": lambda state: {
        name: value.half() if value.is_floating_point() else value for name, value in state.items()
    },
}
BAD_WEIGHTS: dict[str, Callable[[dict], object]] = {
    "missing": lambda state: {name: value for name, value in state.items() if name != "fc.bias"},
    "unknown": lambda state: {**state, "fc.bias2": state["fc.bias"]},
    "shape": lambda state: {**state, "fc.bias": torch.zeros(7)},
    "nan": lambda state: {**state, "fc.bias": torch.tensor([0, float("nan")])},
    "inf": lambda state: {**state, "fc.bias": torch.tensor([0, float("inf")])},
    "integers": lambda state: {**state, "fc.bias": torch.zeros(2, dtype=torch.int64)},
    "sparse": lambda state: {**state, "fc.weight": state["fc.weight"].to_sparse()},
    "quantized": lambda state: {
        **state,
        "fc.bias": torch.quantize_per_tensor(state["fc.bias"], 0.1, 0, torch.qint8),
    },
    "two": lambda state: {"model": state, "ema": state},
    "a list": lambda state: [1, 2],
    "nothing": lambda state: {},
    "whole net": lambda state: torch.nn.Linear(2, 2),
    "no text": lambda state: {1: torch.zeros(2)},
}
BAD_FILES = [  # and what of each the line shows
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git-lfs"),
    (b"<!DOCTYPE html><html>404</html>", "html"),
    (b"\x40\0\0\0\0\0\0\0" + b'{"__metadata__":{}}' + b" " * 60, "metadata"),  # safetensors
    (b"", ""), (pickle.dumps({"a": os.getcwd}), "posix"), (b"PK\x03\x04" + b"\0" * 60, ""),
]  # fmt: skip


@pytest.mark.parametrize("name", [*GOOD_WEIGHTS, *BAD_WEIGHTS])
def test_weights_of_other_programs(name: str, trained: Tiny, tmp_path: Path) -> None:
    state = torch.load(trained.folder / "AlexNet.pth", weights_only=True)
    torch.save({**GOOD_WEIGHTS, **BAD_WEIGHTS}[name](state), tmp_path / "other.pth")
    shutil.copy(trained.folder / "class_indices.json", tmp_path)
    result = trained.predict("--weights", tmp_path / "other.pth")
    if name in BAD_WEIGHTS:
        fails(result, "other.pth")
    else:
        assert works(result).lines("class: ") == trained.lines or name == "half"


def test_files_that_hold_no_weights(trained: Tiny, tmp_path: Path) -> None:
    """Without class names beside them: the weights come first."""
    for content, word in BAD_FILES:
        (tmp_path / "bad.pth").write_bytes(content)
        fails(trained.predict("--weights", tmp_path / "bad.pth"), "bad.pth", word)
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "script.pth"))
    fails(trained.predict("--weights", tmp_path / "script.pth"), "script.pth", "TorchScript")
    for path in (tmp_path / "gone.pth", tmp_path):
        fails(trained.predict("--weights", path), path)


def test_class_indices(trained: Tiny, tmp_path: Path) -> None:
    shutil.copy(trained.folder / "AlexNet.pth", tmp_path)
    good = (
        b'{"1": "red", "0": "blue"}',
        b'{\r\n"0": "blue",\r\n"1": "red"}',
        b'\xef\xbb\xbf{"0": "blue", "1": "red"}',
    )
    bad = ('{"0": "蓝", "1": "红"}'.encode("gbk"), b'{"0": "blue", ', b'["blue", "red"]', b'{"0": "a", "2": "b"}',
           b'{"0": 1, "1": 2}', b"{}", b"[" * 100_000)  # fmt: skip
    for content in (*good, *bad):
        (tmp_path / "class_indices.json").write_bytes(content)
        result = trained.predict("--output-dir", tmp_path)
        if content in bad:
            fails(result, "class_indices.json")
        assert content in bad or "class: red " in works(result).out


def test_a_full_disk_and_a_folder_that_cannot_be_written(tiny: Tiny, monkeypatch: Patch) -> None:
    fails(tiny.train("--output-dir", tiny.folder / "train.py" / "x"), "--output-dir")
    tiny.train()
    before, save = (tiny.folder / "AlexNet.pth").read_bytes(), torch.save

    def full(content: dict, path: Path) -> None:
        save(content, path)
        if "history" in content:
            os.truncate(path, 100)
            raise RuntimeError("PytorchStreamWriter failed writing file data/3: file write failed")

    monkeypatch.setattr(torch, "save", full)
    fails(tiny.train(), "AlexNet_last.pth", "file write failed")
    assert not tiny.last_path.exists() and not list(tiny.folder.glob("*.tmp"))
    assert (tiny.folder / "AlexNet_previous.pth").read_bytes() == before


def test_renames_that_fail_for_a_moment(tiny: Tiny, monkeypatch: Patch) -> None:
    """As on Windows, where a viewer or a virus scanner holds a file open, the picture of the results for good."""
    replace, tries = Path.replace, []

    def held(self: Path, target: Path) -> Path:
        tries.append(target.name)
        if tries.count(target.name) < 3 or "results" in target.name:
            raise PermissionError(13, "held open", str(self))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", held)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    result = works(tiny.train())
    assert (
        "AlexNet_results.png" in result.out
        and "Finished Training" in result.out
        and tiny.last_path.exists()
    )


def test_what_a_machine_lacks_is_one_line(helpers: ModuleType, monkeypatch: Patch) -> None:
    torch_says = {
        "DataLoader worker (pid 7) is killed by signal: Bus error. ": "--workers 0",
        "unable to write to file </torch_7_8_9>: No space left on device (28)": "--shm-size",
        "CUDA out of memory. Tried to allocate 2 GiB": "--batch-size",
        "[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory": "--batch-size",
    }

    def ending(error: BaseException) -> str:
        with pytest.raises(SystemExit) as end:
            helpers.run(Mock(side_effect=error))
        return str(end.value)

    for text, word in torch_says.items():
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


@pytest.mark.parametrize(
    "backend", ["module://matplotlib_inline.backend_inline", "nbAgg", "no_such", ""]
)
def test_a_notebooks_backend(
    backend: str, trained: Tiny, tmp_path: Path, monkeypatch: Patch
) -> None:
    """`!python` in a notebook hands its MPLBACKEND on: the picture is written and named all the same."""
    monkeypatch.setenv("MPLBACKEND", backend)
    monkeypatch.setitem(matplotlib.rcParams, "text.usetex", True)
    result = works(
        trained.predict("--weights", trained.folder / "AlexNet.pth", "--output-dir", tmp_path)
    )
    assert str(tmp_path / "AlexNet_prediction.png") in result.out and not result.err
    assert (tmp_path / "AlexNet_prediction.png").read_bytes().startswith(b"\x89PNG")


def test_pipes_and_letters_that_the_console_lacks(
    trained: Tiny, tmp_path: Path, monkeypatch: Patch
) -> None:
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.jpg")
        fails(run_here(trained.folder / "predict.py", tmp_path / "pipe.jpg"), "pipe.jpg")
    fails(run_here(trained.folder / "predict.py", tmp_path / "none.jpg"), "none.jpg")
    fails(run_here(trained.folder / "predict.py", tmp_path), tmp_path)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    load("Test2_alexnet", "helpers").run(lambda: print("花"))
    assert (
        sys.stdout.buffer.getvalue() == b"\\u82b1" + os.linesep.encode()
    )  # at once, without a flush


def test_signs_of_life_in_a_long_epoch(
    helpers: ModuleType, capsys: pytest.CaptureFixture, monkeypatch: Patch
) -> None:
    clock = iter(range(0, 1000, 3))
    monkeypatch.setattr(
        helpers.time, "monotonic", lambda: next(clock)
    )  # each batch takes 3 s to come and 3 s to use

    def lines() -> list[str]:
        bar = helpers.ProgressBar(range(10), "train epoch[1/2]")
        for _ in bar:
            bar.loss = 1.5
        assert bar.waited == 30
        return re.split(r"[\r\n]+", capsys.readouterr().out.strip())

    found = lines()
    assert found[-1] == f"train epoch[1/2] 100%[{'*' * 50}->] loss:1.500" and len(found) == 5
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(
        helpers.shutil, "get_terminal_size", lambda *_, **__: os.terminal_size((70, 20))
    )
    found = lines()
    assert len(found) == 10 and all(len(line.rstrip()) < 70 for line in found)
