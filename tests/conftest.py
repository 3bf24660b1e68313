"""What the tests share: loading a lesson's modules, running its scripts as a user does, drawing small data sets."""

import contextlib
import importlib.util
import io
import multiprocessing
import os
import pickle
import random
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from torchvision.datasets import CIFAR10
from torchvision.datasets.utils import calculate_md5

Patch = pytest.MonkeyPatch
ROOT = Path(__file__).resolve().parent.parent
LESSONS = sorted(path.name for path in ROOT.glob("Test[0-9]_*"))
COLORS = {"blue": (40, 60, 200), "green": (40, 180, 60), "red": (200, 50, 40)}

NARROW_VGG = [4, "M", 4, "M", 4, "M", 4, "M", 512, "M"]

# folder: (weights file, options of train.py and predict.py alike, options of train.py alone): what runs quickly
QUICK: dict[str, tuple[str, list[str], list[str]]] = {
    "Test1_official_demo": ("Lenet.pth", [], []),
    "Test2_alexnet": ("AlexNet.pth", [], []),
    "Test3_vggnet": ("vgg11Net.pth", ["--model-name", "vgg11"], []),
    "Test4_googlenet": ("googleNet.pth", [], []),
    "Test5_resnet": ("resNet18.pth", ["--model-name", "resnet18"], ["--weights", "none"]),
}

# A net that computes and is saved in no time, for the tests of what surrounds it
TINY_MODEL = """
import torch
from torch import nn

class AlexNet(nn.Module):
    def __init__(self, num_classes=1000, init_weights=False):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 7, stride=4)
        self.bn = nn.BatchNorm2d(8)
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(8, num_classes)

    def forward(self, x):
        return self.fc(self.dropout(torch.relu(self.bn(self.conv(x))).mean(dim=(2, 3))))
"""


class Result(NamedTuple):
    status: int
    out: str
    err: str

    def lines(self, start: str) -> list[str]:
        return [line for line in self.out.splitlines() if line.startswith(start)]


def load(folder: str, name: str) -> ModuleType:
    """A lesson's module, under a name of its own: five folders have a model.py."""
    unique = f"{folder}_{name}"
    if unique not in sys.modules:
        spec = importlib.util.spec_from_file_location(unique, ROOT / folder / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[unique] = module
        with imports_from(ROOT / folder):
            spec.loader.exec_module(module)
    return sys.modules[unique]


@contextlib.contextmanager
def imports_from(folder: Path):
    """Import a folder's modules, and forget them at the end: the others' are called the same."""
    path = sys.path[:]
    names = {file.stem for file in folder.glob("*.py")}
    before = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path[:] = path
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update(before)


def copy_lesson(folder: str, place: Path) -> Path:
    """Copy one folder's scripts to `place`, with nothing beside them, and return the copy."""
    copy = place / folder
    copy.mkdir(parents=True)
    for path in (ROOT / folder).glob("*.py"):
        shutil.copy(path, copy)
    return copy


def tiny_lesson(place: Path) -> Path:
    """A copy of Test2 whose net is TINY_MODEL."""
    copy = copy_lesson("Test2_alexnet", place)
    (copy / "model.py").write_text(TINY_MODEL, encoding="utf-8")
    return copy


def quick_lesson(folder: str, place: Path) -> Path:
    """The folder itself; of Test3 a copy whose VGG11 is narrow, since the real one computes and is saved slowly."""
    if folder != "Test3_vggnet":
        return ROOT / folder
    copy = copy_lesson(folder, place)
    model = (copy / "model.py").read_text(encoding="utf-8").replace("width: int = 2048", "width: int = 16")
    (copy / "model.py").write_text(f'{model}\n\ncfgs["vgg11"] = {NARROW_VGG}\n', encoding="utf-8")
    return copy


def quick_net(folder: str, num_classes: int) -> torch.nn.Module:
    """The net of a quick lesson with its first weights, made as train.py makes it."""
    model = load(folder, "model")
    if folder == "Test1_official_demo":
        return model.LeNet()
    if folder == "Test2_alexnet":
        return model.AlexNet(num_classes, init_weights=True)
    if folder == "Test3_vggnet":
        return model.VGG(model.make_features(NARROW_VGG), num_classes, init_weights=True, width=16)
    if folder == "Test4_googlenet":
        return model.GoogLeNet(num_classes, aux_logits=True, init_weights=True)
    net = model.resnet18()
    net.fc = torch.nn.Linear(512, num_classes)
    return net


def run_here(script: Path, *options: object) -> Result:
    """Run a script as __main__ in this process, which saves the seconds that importing torch takes."""
    argv, out, err, status = sys.argv, io.StringIO(), io.StringIO(), 0
    sys.argv = [str(script), *map(str, options)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), imports_from(script.parent):
            runpy.run_path(str(script), run_name="__main__")
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=err)
    finally:
        sys.argv = argv
    return Result(status, out.getvalue(), err.getvalue())


def run_alone(script: Path, *options: object, cwd: Path | None = None, **extra: str) -> Result:
    """Run a script in a process of its own, as `python script` does; `extra` are environment variables."""
    command: Sequence[str] = [sys.executable, str(script), *map(str, options)]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", **extra}
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, encoding="utf-8", env=environment, timeout=300
    )
    return Result(done.returncode, done.stdout, done.stderr)


def run_and_exit(method: str, script: Path, *options: object) -> None:
    multiprocessing.set_start_method(method, force=True)  # of data workers: not by a server of this server
    sys.exit(run_here(script, *options).status)


def start(script: Path, *options: object) -> multiprocessing.Process:
    """Start a script in a process of its own that has torch imported already, where the system can do so."""
    context = multiprocessing.get_context("forkserver" if hasattr(os, "fork") else "spawn")
    context.set_forkserver_preload(["torchvision", "matplotlib.pyplot"])
    process = context.Process(target=run_and_exit, args=(multiprocessing.get_start_method(), script, *options))
    process.start()
    return process


@contextlib.contextmanager
def no_pictures() -> Iterator[None]:
    """Figures are drawn, but not written, which takes longer than the training of a small net."""
    with Patch.context() as patch:
        patch.setattr(Figure, "savefig", lambda self, path, **options: path.touch())
        yield


def works(result: Result) -> Result:
    assert result.status == 0, result.err
    return result


def fails(result: Result, *names: object) -> None:
    """Assert exit status 1 and one line that holds each of `names`, and no traceback."""
    assert result.status == 1, result
    assert len(result.err.strip().splitlines()) == 1, result.err
    assert result.err.startswith("error: "), result.err
    for name in names:
        assert str(name) in result.err, result.err


def same(one: object, other: object) -> bool:
    """Whether two saved files hold the same, bit for bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def draw_image(color: tuple[int, int, int], seed: int) -> Image.Image:
    """A picture of blocks in shades of one colour, of another size for every seed."""
    rng = random.Random(seed)
    blocks = Image.new("RGB", (6, 5))
    blocks.putdata([tuple(max(0, min(255, c + rng.randint(-40, 40))) for c in color) for _ in range(30)])
    return blocks.resize((rng.randint(60, 120), rng.randint(60, 120)), Image.Resampling.NEAREST)


def draw_data_set(root: Path, classes: Sequence[str] = ("blue", "red"), train: int = 4, val: int = 2) -> Path:
    """root/train/<class>/*.png and root/val/<class>/*.png: classes that differ in colour."""
    for part, count in (("train", train), ("val", val)):
        for number, name in enumerate(classes):
            folder = root / part / name
            folder.mkdir(parents=True)
            for i in range(count):
                color = COLORS.get(name, list(COLORS.values())[number % len(COLORS)])
                draw_image(color, seed=1000 * number + 2 * i + (part == "val")).save(folder / f"{name}_{i}.png")
    return root


@pytest.fixture(scope="session")
def data_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of two classes, 8 + 4 images. Tests only read it."""
    return draw_data_set(tmp_path_factory.mktemp("data"))


def draw_cifar10(root: Path, train: int = 100, test: int = 40) -> Path:
    """A drawn CIFAR-10 in the official set's on-disk format, each class in a colour of its own."""
    base = root / CIFAR10.base_folder
    base.mkdir(parents=True)

    def draw(name: str, count: int, seed: int) -> None:
        labels = [i % 10 for i in range(count)]
        noise = np.random.default_rng(seed).integers(-30, 30, size=(count, 3, 1024))
        colors = np.array([[25 * label, 255 - 25 * label, 128] for label in labels])[:, :, None]
        data = np.clip(colors + noise, 0, 255).astype(np.uint8).reshape(count, 3072)
        (base / name).write_bytes(pickle.dumps({"data": data, "labels": labels}))

    for number in range(1, 6):
        draw(f"data_batch_{number}", train // 5, seed=number)
    draw("test_batch", test, seed=6)
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    (base / "batches.meta").write_bytes(pickle.dumps({"label_names": names}))
    return root


def md5_of_cifar10(root: Path) -> dict[str, object]:
    """The attributes of torchvision's CIFAR10 that hold the official files' MD5, with those of the files in `root`."""
    base = root / CIFAR10.base_folder
    lists = {"train_list": CIFAR10.train_list, "test_list": CIFAR10.test_list}
    files = {name: [[f, calculate_md5(base / f)] for f, _ in value] for name, value in lists.items()}
    return {**files, "meta": {**CIFAR10.meta, "md5": calculate_md5(base / CIFAR10.meta["filename"])}}


@pytest.fixture(scope="session")
def cifar10(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A drawn CIFAR-10 of 100 + 40 images, which torchvision takes for the real one in this process."""
    root = draw_cifar10(tmp_path_factory.mktemp("cifar"))
    with Patch.context() as patch:
        for name, value in md5_of_cifar10(root).items():
            patch.setattr(CIFAR10, name, value)
        yield root


@pytest.fixture(autouse=True)
def one_result_on_every_machine(request: pytest.FixtureRequest, monkeypatch: Patch) -> None:
    """No screen, and no accelerator but in the tests that are marked so."""
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("COLUMNS", "300")  # argparse then breaks no path
    if "accelerator" not in request.keywords:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
        monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
