"""Whatever a learner feeds the scripts: it works, or one line says what is wrong."""

import ast
import errno
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
from running import ROOT, Patch, Tiny, copy_lesson, fails, load, run_here, works
from torchvision.datasets import CIFAR10

# ---- options ----

BAD_OPTIONS = [
    ("--epochs", "0"),
    ("--epochs", "three"),
    ("--batch-size", "0"),
    ("--batch-size", "9" * 20),
    ("--lr", "-0.1"),
    ("--lr", "nan"),
    ("--lr", "inf"),
    ("--workers", "-1"),
    ("--seed", "-1"),
    ("--device", "cuda:99"),
    ("--device", "abacus"),
    ("--device", "cpu:-1"),
    ("--device", "meta"),
    ("--device", "hpu"),
]


@pytest.mark.parametrize(("option", "value"), BAD_OPTIONS)
def test_bad_options_end_with_status_2(option: str, value: str) -> None:
    result = run_here(ROOT / "Test2_alexnet" / "train.py", option, value)
    assert result.status == 2
    last_line = result.err.splitlines()[-1]
    assert last_line.startswith("train.py: error: ")
    assert option in last_line


@pytest.mark.parametrize("folder", ["Test3_vggnet", "Test5_resnet"], indirect=True)
@pytest.mark.parametrize("script", ["train.py", "predict.py"])
def test_a_net_that_there_is_not(folder: str, script: str) -> None:
    result = run_here(ROOT / folder / script, "--model-name", "vgg12")
    assert result.status == 2
    assert "--model-name" in result.err.splitlines()[-1]


def test_freezing_layers_that_have_learned_nothing_is_refused() -> None:
    script = ROOT / "Test5_resnet" / "train.py"
    result = run_here(script, "--freeze-layers", "--weights", "none")
    assert result.status == 2
    assert "--freeze-layers" in result.err.splitlines()[-1]


def test_amp_computes_in_bfloat16_where_there_are_units_for_it(
    tiny: Tiny, monkeypatch: Patch
) -> None:
    """A CPU that has none can compute in it all the same, slowly."""
    has_units = Mock(return_value=True)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", has_units)
    works(tiny.train("--epochs", 1))
    assert not has_units.called  # a private name, and asked for --amp alone
    exact = tiny.history()[0]["train_loss"]
    works(tiny.train("--epochs", 1, "--amp"))
    rounded = tiny.history()[0]["train_loss"]
    assert exact != rounded == pytest.approx(exact, abs=0.05)
    for value in tiny.last()["state"]["net"].values():
        assert value.dtype != torch.bfloat16

    has_units.return_value = False
    for more in ([], ["--resume"]):
        result = tiny.train("--amp", *more)
        assert result.status == 2
        assert "--amp" in result.err.splitlines()[-1]


CUDA_ERROR = (
    "CUDA error: {}\nCUDA kernel errors might be asynchronously reported at some other API call.\n"
    "Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.\n"
)
FAILING_DEVICES = {  # what torch raises: words of the advice
    RuntimeError(CUDA_ERROR.format("out of memory")): "other programs",
    RuntimeError(CUDA_ERROR.format("no kernel image is available")): "pytorch.org",
    RuntimeError(CUDA_ERROR.format("all CUDA-capable devices are busy")): "another program",
}


def first_line(error: Exception) -> str:
    return str(error).split("\n")[0]


@pytest.mark.parametrize("error", FAILING_DEVICES, ids=first_line)
def test_a_device_that_cannot_hold_one_number(error: Exception, monkeypatch: Patch) -> None:
    monkeypatch.setattr(torch, "zeros", Mock(side_effect=error))
    result = run_here(ROOT / "Test2_alexnet" / "train.py", "--device", "cuda:0")
    assert result.status == 2
    last_line = result.err.splitlines()[-1]
    assert last_line.startswith(f"train.py: error: --device cuda:0: {first_line(error)}: ")
    assert FAILING_DEVICES[error] in last_line


# ---- data ----

BAD_DATA: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "no folder": (lambda data: shutil.rmtree(data), ["train", "val"]),
    "no val": (lambda data: shutil.rmtree(data / "val"), ["val"]),
    "no class in val": (lambda data: shutil.rmtree(data / "val" / "red"), ["val"]),
    "another class": (
        lambda data: (data / "val" / "red").rename(data / "val" / "crimson"),
        ["crimson", "red"],
    ),
    "one class": (lambda data: shutil.rmtree(data / "train" / "red"), ["train", "holds 1"]),
    "empty class": (
        lambda data: [path.unlink() for path in (data / "train" / "red").iterdir()],
        [str(Path("train") / "red")],
    ),
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
    red = data / "train" / "red"
    for name in (".ipynb_checkpoints", "__MACOSX", "@eaDir", "$Recycle.Bin"):
        for folder in (data / "train" / name, red / name):
            folder.mkdir()
            (folder / "x.jpg").write_bytes(b"no image")
    (red / ".hidden.jpg").write_bytes(b"no image")
    kinds = {".jfif": "JPEG", ".jpe": "JPEG", ".gif": "GIF", ".dib": "BMP", ".mpo": "MPO"}
    if ".avif" in Image.registered_extensions():  # new in Pillow
        kinds[".avif"] = "AVIF"
    nested = red / "sub" / "folder"
    nested.mkdir(parents=True)
    for ending, kind in kinds.items():
        draw_image((200, 40, 40), 7).save(nested / f"a{ending}", format=kind)
    for name in ("a.heic", "b.heic", "notes.txt"):
        (red / name).write_bytes(b"x")

    result = works(tiny.train())
    assert f"using {4 + len(kinds)} images for training, 2 images for validation." in result.out
    assert "3 files" in result.out
    assert "a.heic" in result.out


@pytest.mark.parametrize("script", ["train.py", "predict.py"])
def test_cifar10_that_cannot_be_fetched(script: str, tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setattr(CIFAR10, "download", Mock(side_effect=OSError("no network")))
    torch.save(load("Test1_official_demo", "model").LeNet().state_dict(), tmp_path / "Lenet.pth")
    monkeypatch.chdir(ROOT / "Test1_official_demo")
    fixed = ["--data-path", tmp_path, "--output-dir", tmp_path]
    result = run_here(ROOT / "Test1_official_demo" / script, *fixed)
    split_data = Path("..") / "data_set" / "split_data.py"
    where = tmp_path / CIFAR10.filename
    fails(result, "no network", CIFAR10.url, where, f"python {split_data} --demo")
    assert CIFAR10.url in result.out  # it says what it fetches before it does


# ---- images ----


class Pictures:
    """Pictures that are saved, and opened by the lesson's open_image."""

    def __init__(self, helpers: ModuleType, folder: Path):
        self.helpers = helpers
        self.folder = folder

    def opened(self, image: Image.Image, name: str, **options: object) -> Image.Image:
        image.save(self.folder / name, **options)
        found = self.helpers.open_image(self.folder / name)
        assert found.mode == "RGB"
        return found

    def color(self, image: Image.Image, name: str, place: tuple[int, int] = (1, 1)) -> tuple:
        return self.opened(image, name).getpixel(place)


@pytest.fixture
def pictures(helpers: ModuleType, tmp_path: Path) -> Pictures:
    return Pictures(helpers, tmp_path)


@pytest.mark.parametrize(
    ("mode", "name"),
    [("RGB", "a.png"), ("RGBA", "a.png"), ("P", "a.gif"), ("CMYK", "a.tif"), ("YCbCr", "a.jpg")],
)
def test_red_of_every_mode_comes_as_red(mode: str, name: str, pictures: Pictures) -> None:
    red, green, blue = pictures.color(Image.new("RGB", (9, 7), (255, 0, 0)).convert(mode), name)
    assert red > 252
    assert green < 3
    assert blue < 3


def test_images_with_one_channel_keep_their_shades(pictures: Pictures) -> None:
    assert pictures.color(Image.new("1", (4, 4), 1), "a.png") == (255, 255, 255)
    assert pictures.color(Image.new("I;16", (4, 4), 65535 // 2), "b.png") == (127, 127, 127)
    for mode in ("F", "I"):
        with pytest.raises(pictures.helpers.UserError, match=r"c\.tif"):
            pictures.opened(Image.new(mode, (4, 4), 2**20), "c.tif")


def test_transparent_places_become_white(pictures: Pictures) -> None:
    half = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    half.putpixel((0, 0), (9, 9, 9, 255))
    assert pictures.color(half, "a.png", (1, 1)) == (255, 255, 255)
    assert pictures.color(half, "a.png", (0, 0)) == (9, 9, 9)
    nobody_filled_alpha = Image.new("LA", (4, 4), (0, 0))
    assert pictures.color(nobody_filled_alpha, "b.png") == (0, 0, 0)


def test_images_come_upright(pictures: Pictures) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    exif[0x829A] = "no number"  # an entry that is wrong
    assert pictures.opened(Image.new("RGB", (40, 20)), "a.jpg", exif=exif).size == (20, 40)


def test_resize_makes_no_gigabytes_of_a_strip(pictures: Pictures) -> None:
    for size in ((1, 5000), (5000, 1)):
        assert max(pictures.opened(Image.new("RGB", size), "a.png").size) == 50


@pytest.mark.parametrize(
    ("size", "expected"),  # 800 pixels at the least
    [
        ((13000, 7000), (1625, 875)),
        ((1700, 6500), (850, 3250)),
        ((1590, 1590), (1590, 1590)),
    ],
)
def test_large_photos_are_decoded_small(size: tuple, expected: tuple, pictures: Pictures) -> None:
    assert pictures.opened(Image.new("RGB", size, (200, 30, 60)), "phone.jpg").size == expected


def test_images_of_too_many_pixels_are_refused(helpers: ModuleType, tmp_path: Path) -> None:
    Image.new("1", (14_000, 14_000)).save(tmp_path / "huge.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "huge.jpg")
    data = (tmp_path / "huge.jpg").read_bytes()
    size = data.index(b"\xff\xc0") + 5  # height and width
    height, width = (9_000).to_bytes(2, "big"), (65_000).to_bytes(2, "big")
    (tmp_path / "huge.jpg").write_bytes(data[:size] + height + width + data[size + 4 :])
    for name in ("huge.jpg", "huge.png"):
        with pytest.raises(helpers.UserError, match=name):
            helpers.open_image(tmp_path / name)


# ---- weights ----


class Trained(Tiny):
    """A copy of Test2 with a tiny net, its weights and class names. Tests only read it."""

    def __init__(self, place: Path, data: Path):
        super().__init__(place, data)
        works(self.train())
        self.weights = torch.load(self.folder / "AlexNet.pth", weights_only=True)
        self.lines = works(self.predict()).lines("class: ")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, data_set: Path) -> Trained:
    return Trained(tmp_path_factory.mktemp("trained"), data_set)


def half(state: dict) -> dict:
    """The weights in 16 bits."""
    found = {}
    for name, value in state.items():
        found[name] = value.half() if value.is_floating_point() else value
    return found


def in_wrapper(state: dict, prefix: str = "module.") -> dict:
    """The weights as a wrapper of the net names them."""
    return {f"{prefix}{name}": value for name, value in state.items()}


GOOD_WEIGHTS: dict[str, Callable[[dict], object]] = {
    "DataParallel": in_wrapper,
    "compile": lambda state: in_wrapper(state, "module._orig_mod."),
    "model": lambda state: {"model": state, "epoch": 3, "optimizer": {"param_groups": []}},
    "state_dict": lambda state: {"state_dict": in_wrapper(state)},
    "half": half,
}
BAD_WEIGHTS: dict[str, tuple[Callable[[dict], object], list[str]]] = {  # and words of the line
    "missing": (
        lambda state: {name: value for name, value in state.items() if name != "fc.bias"},
        ["fc.bias is not in it"],
    ),
    "unknown": (lambda state: {**state, "fc.bias2": state["fc.bias"]}, ["fc.bias2"]),
    "shape": (lambda state: {**state, "fc.bias": torch.zeros(7)}, ["fc.bias", "[7]", "[2]"]),
    "nan": (lambda state: {**state, "fc.bias": torch.tensor([0, torch.nan])}, ["fc.bias"]),
    "inf": (lambda state: {**state, "fc.bias": torch.tensor([0, torch.inf])}, ["fc.bias"]),
    "integers": (
        lambda state: {**state, "fc.bias": torch.zeros(2, dtype=torch.int64)},
        ["fc.bias", "int64"],
    ),
    "sparse": (
        lambda state: {**state, "fc.weight": state["fc.weight"].to_sparse()},
        ["fc.weight"],
    ),
    "quantized": (
        lambda state: {
            **state,
            "fc.bias": torch.quantize_per_tensor(state["fc.bias"], 0.1, 0, torch.qint8),
        },
        ["fc.bias"],
    ),
    "two": (lambda state: {"model": state, "ema": state}, ["model", "ema"]),
    "a list": (lambda state: [1, 2], []),
    "nothing": (lambda state: {}, ["no weights"]),
    "whole net": (lambda state: torch.nn.Linear(2, 2), ["torch.nn.modules.linear.Linear"]),
    "no text": (lambda state: {1: torch.zeros(2)}, ["conv.weight is not in it"]),
}


@pytest.mark.parametrize("name", GOOD_WEIGHTS)
def test_weights_of_other_programs(name: str, trained: Trained, tmp_path: Path) -> None:
    torch.save(GOOD_WEIGHTS[name](trained.weights), tmp_path / "other.pth")
    shutil.copy(trained.folder / "class_indices.json", tmp_path)
    result = works(trained.predict("--weights", tmp_path / "other.pth"))
    if name != "half":
        assert result.lines("class: ") == trained.lines


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize("name", BAD_WEIGHTS)
def test_weights_that_do_not_fit(name: str, trained: Trained, tmp_path: Path) -> None:
    change, words = BAD_WEIGHTS[name]
    torch.save(change(trained.weights), tmp_path / "other.pth")
    shutil.copy(trained.folder / "class_indices.json", tmp_path)
    fails(trained.predict("--weights", tmp_path / "other.pth"), tmp_path / "other.pth", *words)


BAD_FILES = [  # and what of each the line shows
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git-lfs"),
    (b"<!DOCTYPE html><html>404</html>", "html"),
    (b"\x40\0\0\0\0\0\0\0" + b'{"__metadata__":{}}' + b" " * 60, "metadata"),  # safetensors
    (b"", ""),
    (pickle.dumps({"a": os.getcwd}), os.getcwd.__module__),
    (b"PK\x03\x04" + b"\0" * 60, ""),
]


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_files_that_hold_no_weights(trained: Trained, tmp_path: Path) -> None:
    shutil.copy(trained.folder / "class_indices.json", tmp_path)
    bad = tmp_path / "bad.pth"
    for content, word in BAD_FILES:
        bad.write_bytes(content)
        fails(trained.predict("--weights", bad), bad, word)
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(bad))
    fails(trained.predict("--weights", bad), bad, "TorchScript")
    fails(trained.predict("--weights", tmp_path / "gone.pth"), tmp_path / "gone.pth")
    (tmp_path / "folder.pth").mkdir()
    fails(trained.predict("--weights", tmp_path / "folder.pth"), tmp_path / "folder.pth")


GOOD_NAMES = [
    b'{"1": "red", "0": "blue"}',
    b'{\r\n"0": "blue",\r\n"1": "red"}',
    b'\xef\xbb\xbf{"0": "blue", "1": "red"}',
]
BAD_NAMES = [
    '{"0": "蓝", "1": "红"}'.encode("gbk"),
    b'{"0": "blue", ',
    b'["blue", "red"]',
    b'{"0": "a", "2": "b"}',
    b'{"0": 1, "1": 2}',
    b"{}",
    b'["blue", "red"]',
    b'[["0", "blue"], ["1", "red"]]',
    b'{"0": "blue", "1": ""}',
    b'{"0": "blue", "0": "red", "1": "red"}',
    b"[" * 100_000,
]


def test_class_names(trained: Trained, tmp_path: Path) -> None:
    shutil.copy(trained.folder / "AlexNet.pth", tmp_path)
    names = tmp_path / "class_indices.json"
    fails(trained.predict("--output-dir", tmp_path), names)
    for content in GOOD_NAMES:
        names.write_bytes(content)
        assert works(trained.predict("--output-dir", tmp_path)).lines("class: ") == trained.lines
    for content in BAD_NAMES:
        names.write_bytes(content)
        fails(trained.predict("--output-dir", tmp_path), names)


# ---- what cannot be written ----


def test_a_folder_that_cannot_be_written(tiny: Tiny) -> None:
    place = tiny.folder / "train.py" / "x"
    fails(tiny.train("--output-dir", place), place, "--output-dir")


@pytest.mark.parametrize("what", ["AlexNet.pth", "AlexNet_last.pth"])
def test_a_write_that_fails_leaves_the_earlier_runs_files(
    what: str, tiny: Tiny, monkeypatch: Patch
) -> None:
    tiny.train()
    before = (tiny.folder / "AlexNet.pth").read_bytes()
    save = torch.save

    def fail(content: dict, path: Path) -> None:
        save(content, path)
        if path.name.startswith(what):
            os.truncate(path, 100)
            raise RuntimeError("PytorchStreamWriter failed writing file data/3: file write failed")

    monkeypatch.setattr(torch, "save", fail)
    fails(tiny.train(), tiny.folder / what, "file write failed")
    assert not (tiny.folder / what).exists()
    assert not list(tiny.folder.glob("*.tmp"))
    assert (tiny.folder / "AlexNet_previous.pth").read_bytes() == before


def test_a_full_disk_is_called_so_of_a_text_too(
    helpers: ModuleType, tmp_path: Path, monkeypatch: Patch
) -> None:
    error = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(Path, "write_text", Mock(side_effect=error))
    with pytest.raises(helpers.UserError, match="the disk is full"):
        helpers.save("text", tmp_path / "a.json")


def test_renames_that_fail_for_a_moment(tiny: Tiny, monkeypatch: Patch) -> None:
    """As on Windows, where a viewer or a virus scanner holds a file open.

    The picture of the results is held for good, for which no run ends.
    """
    replace = Path.replace
    tries = []

    def held(self: Path, target: Path) -> Path:
        tries.append(target.name)
        if tries.count(target.name) < 3 or "results" in target.name:
            raise PermissionError(13, "held open", str(self))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", held)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    result = works(tiny.train())
    assert "AlexNet_results.png" in result.out
    assert "Finished Training" in result.out
    assert tiny.last_path.exists()
    assert not list(tiny.folder.glob("*.tmp"))


# ---- the machine, Python and torch ----


def in_worker(kind: str, message: str) -> str:
    """What torch says of an error in a data worker."""
    return (
        f"Caught {kind} in DataLoader worker process 0.\nOriginal Traceback (most recent call "
        f'last):\n  File "train.py", line 7, in __getitem__\n    ...\n{kind}: {message}\n'
    )


SHARED_MEMORY = "unable to write to file </torch_7_8_9>: No space left on device (28)"
LIMITS = [  # what torch raises: the line that it should show, and a word of the advice
    (
        RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error. "),
        "DataLoader worker (pid 7) is killed by signal: Bus error.",
        "--workers 0",
    ),
    (
        RuntimeError("DataLoader worker (pid(s) 7, 8) exited unexpectedly"),
        "DataLoader worker (pid(s) 7, 8) exited unexpectedly",
        "--workers 0",
    ),
    (RuntimeError(SHARED_MEMORY), SHARED_MEMORY, "--shm-size"),
    (RuntimeError(in_worker("RuntimeError", SHARED_MEMORY)), SHARED_MEMORY, "--shm-size"),
    (
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has ..."),
        "CUDA out of memory. Tried to allocate 2.00 GiB.",
        "--batch-size",
    ),
    (
        RuntimeError(CUDA_ERROR.format("out of memory")),
        "CUDA error: out of memory:",
        "--batch-size",
    ),
    (
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        "CUBLAS_STATUS_ALLOC_FAILED",
        "--batch-size",
    ),
    (
        RuntimeError("MPS backend out of memory (MPS allocated: 1.00 GB, max allowed: 1.00 GB)."),
        "MPS backend out of memory",
        "--batch-size",
    ),
    (
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate "
            "memory: you tried to allocate 9 bytes. Error code 12 (Cannot allocate memory)"
        ),
        "DefaultCPUAllocator: can't allocate memory",
        "--batch-size",
    ),
    (
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory: "
            "you tried to allocate 9 bytes."
        ),
        "DefaultCPUAllocator: not enough memory",
        "--batch-size",
    ),
    (MemoryError(), "MemoryError", "--batch-size"),
    (
        RuntimeError(CUDA_ERROR.format("no kernel image is available for execution on the device")),
        "CUDA error: no kernel image is available for execution on the device:",
        "pytorch.org",
    ),
    (
        RuntimeError(CUDA_ERROR.format("all CUDA-capable devices are busy or unavailable")),
        "CUDA error: all CUDA-capable devices are busy or unavailable:",
        "another program",
    ),
]


@pytest.mark.parametrize(("error", "line", "advice"), LIMITS, ids=[line for _, line, _ in LIMITS])
def test_what_a_machine_lacks_is_one_line(
    error: Exception, line: str, advice: str, helpers: ModuleType
) -> None:
    with pytest.raises(SystemExit) as end:
        helpers.run(Mock(side_effect=error))
    message = end.value.code
    assert message.startswith("error: ")
    assert "\n" not in message
    assert line in message
    assert advice in message


MISTAKES = [
    RuntimeError("a mistake"),
    ValueError("a mistake"),
    KeyError("a mistake"),
    RuntimeError(in_worker("RuntimeError", "stack expects each tensor to be equal size")),
    FileNotFoundError(in_worker("FileNotFoundError", "[Errno 2] No such file: 'labels.csv'")),
    PermissionError(in_worker("PermissionError", "[Errno 13] Permission denied: 'labels.csv'")),
    RuntimeError("my data loader worker is out of memory cards"),
    RuntimeError("the DataLoader worker (pid 7) has no memory of its own"),
    RuntimeError("not enough memory cards"),
    RuntimeError(CUDA_ERROR.format("device-side assert triggered")),
]


@pytest.mark.parametrize("error", MISTAKES, ids=first_line)
def test_mistakes_in_the_code_show_their_traceback(error: Exception, helpers: ModuleType) -> None:
    with pytest.raises(type(error)) as found:
        helpers.run(Mock(side_effect=error))
    assert found.value is error


def test_ctrl_c_before_anything_has_begun(
    helpers: ModuleType, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as end:
        helpers.run(Mock(side_effect=KeyboardInterrupt))
    assert end.value.code == 130
    assert capsys.readouterr().err == "stopped\n"


def test_an_old_python_is_told_before_another_file_is_imported(
    folder: str, tmp_path: Path, monkeypatch: Patch
) -> None:
    """In a syntax that it can read."""
    copy = copy_lesson(folder, tmp_path)
    for name in ("model.py", "plots.py"):
        (copy / name).write_text("raise AssertionError('imported')", encoding="utf-8")
    scripts = ["train.py", "predict.py"]
    if folder == "Test5_resnet":
        scripts += ["batch_predict.py", "train_multi_gpu.py"]
    for name in [*scripts, "helpers.py"]:
        ast.parse((copy / name).read_text(encoding="utf-8"), feature_version=(3, 9))
    monkeypatch.setattr(sys, "version_info", (3, 9))
    for name in scripts:
        fails(run_here(copy / name), "Python 3.10")


def test_an_old_torch_is_refused(helpers: ModuleType, monkeypatch: Patch) -> None:
    main = Mock()
    for version in ("2.5.1", "2.5.1+cu121", "1.13.0"):
        monkeypatch.setattr(torch, "__version__", torch.torch_version.TorchVersion(version))
        with pytest.raises(SystemExit, match=re.escape(version)) as end:
            helpers.run(main)
        assert "pip install" in end.value.code
    main.assert_not_called()
    for version in ("2.6.0", "2.6.0a0+ecf3bae", "2.10.0+cpu", "3.0.0"):
        monkeypatch.setattr(torch, "__version__", torch.torch_version.TorchVersion(version))
        helpers.run(main)
    assert main.call_count == 4


# ---- pictures, consoles and terminals ----


@pytest.mark.parametrize(
    "backend", ["module://matplotlib_inline.backend_inline", "nbAgg", "no_such", ""]
)
def test_a_notebooks_backend(
    backend: str, trained: Trained, tmp_path: Path, monkeypatch: Patch
) -> None:
    """`!python` in a notebook hands its MPLBACKEND on: the picture is written and named anyway."""
    monkeypatch.setenv("MPLBACKEND", backend)
    monkeypatch.setitem(matplotlib.rcParams, "text.usetex", True)
    weights = trained.folder / "AlexNet.pth"
    result = works(trained.predict("--weights", weights, "--output-dir", tmp_path))
    assert not result.err
    assert str(tmp_path / "AlexNet_prediction.png") in result.out
    assert (tmp_path / "AlexNet_prediction.png").read_bytes().startswith(b"\x89PNG")


def test_images_that_are_not_there(trained: Trained, tmp_path: Path) -> None:
    script = trained.folder / "predict.py"
    fails(run_here(script, tmp_path / "none.jpg"), tmp_path / "none.jpg")
    fails(run_here(script, tmp_path), tmp_path)
    if hasattr(os, "mkfifo"):  # opening it would wait for ever
        os.mkfifo(tmp_path / "pipe.jpg")
        fails(run_here(script, tmp_path / "pipe.jpg"), tmp_path / "pipe.jpg")


def test_letters_that_the_console_lacks_are_escaped(
    helpers: ModuleType, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    helpers.run(lambda: print("花"))
    printed_at_once = sys.stdout.buffer.getvalue()
    assert printed_at_once == b"\\u82b1" + os.linesep.encode()


@pytest.fixture
def bar_lines(
    helpers: ModuleType, capsys: pytest.CaptureFixture, monkeypatch: Patch
) -> Callable[[], list[str]]:
    """What the progress bar prints in an epoch whose batches take 3 s to come and 3 s to use."""
    clock = iter(range(0, 1000, 3))
    monkeypatch.setattr(helpers.time, "monotonic", lambda: next(clock))

    def lines() -> list[str]:
        bar = helpers.ProgressBar(range(10), "train epoch[1/2]")
        for _ in bar:
            bar.loss = 1.5
        assert bar.waited == 30
        return re.split(r"[\r\n]+", capsys.readouterr().out.strip())

    return lines


def test_signs_of_life_in_a_log(bar_lines: Callable[[], list[str]]) -> None:
    found = bar_lines()
    assert found[-1] == f"train epoch[1/2] 100%[{'*' * 50}->] loss:1.500"
    assert len(found) == 5


def test_signs_of_life_on_a_terminal(
    bar_lines: Callable[[], list[str]], monkeypatch: Patch
) -> None:
    """The bar is drawn again and again in one line, which fits."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(shutil, "get_terminal_size", lambda *_: os.terminal_size((70, 20)))
    found = bar_lines()
    assert len(found) == 10
    assert all(len(line.rstrip()) < 70 for line in found)


def test_a_break_ends_the_line_of_the_bar(
    helpers: ModuleType, capsys: pytest.CaptureFixture, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    clock = iter(range(0, 1000, 3))
    monkeypatch.setattr(helpers.time, "monotonic", lambda: next(clock))
    for number in helpers.ProgressBar(range(10), "train epoch[1/2]"):
        if number == 2:
            break
    print("[epoch 1]")
    assert capsys.readouterr().out.splitlines()[-1] == "[epoch 1]"
    for _ in helpers.ProgressBar(range(10), "train epoch[2/2]"):
        break  # before a bar was drawn
    assert capsys.readouterr().out == ""
