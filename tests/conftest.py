"""What the tests share: loading a lesson's modules, running its scripts as a user does, drawing small data sets."""

import contextlib
import gc
import importlib.util
import io
import os
import pickle
import random
import runpy
import shutil
import subprocess
import sys
import unittest.mock
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import CIFAR10
from torchvision.datasets.utils import calculate_md5

# one result on every machine: CUDA is hidden from all processes, and other accelerators by on_the_cpu and --device
os.environ["CUDA_VISIBLE_DEVICES"] = ""

ROOT = Path(__file__).resolve().parent.parent
LESSONS = sorted(path.name for path in ROOT.glob("Test[0-9]_*"))
COLORS = {"blue": (40, 60, 200), "green": (40, 180, 60), "red": (200, 50, 40)}


# folder: (weights file, options of train.py and predict.py alike, options of train.py alone): what runs quickly
FLOWER_LESSONS: dict[str, tuple[str, list[str], list[str]]] = {
    "Test2_alexnet": ("AlexNet.pth", [], []),
    "Test3_vggnet": ("vgg11Net.pth", ["--model-name", "vgg11", "--width", "16"], []),
    "Test4_googlenet": ("googleNet.pth", [], []),
    "Test5_resnet": ("resNet18.pth", ["--model-name", "resnet18"], ["--weights", "none"]),
}


class Result(NamedTuple):
    status: int
    out: str
    err: str


def load(folder: str, name: str) -> ModuleType:
    """A lesson's module, under a name of its own: five folders have a model.py."""
    unique = f"{folder}_{name}"
    if unique not in sys.modules:
        spec = importlib.util.spec_from_file_location(unique, ROOT / folder / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[unique] = module
        spec.loader.exec_module(module)
    return sys.modules[unique]


def load_script(script: Path) -> dict[str, object]:
    """The names in a script that imports its folder's utils.py and model.py; main() is not called."""
    with (
        unittest.mock.patch.dict(sys.modules),
        unittest.mock.patch.object(sys, "path", [str(script.parent), *sys.path]),
    ):
        for path in script.parent.glob("*.py"):
            sys.modules.pop(path.stem, None)
        return runpy.run_path(str(script))


def copy_lesson(folder: str, place: Path) -> Path:
    """Copy one folder's scripts to `place`, with nothing beside them, and return the copy."""
    copy = place / folder
    copy.mkdir(parents=True)
    for path in (ROOT / folder).glob("*.py"):
        shutil.copy(path, copy)
    return copy


def run_here(script: Path, *options: object) -> Result:
    """Run a script as __main__ in this process, which saves the seconds that importing torch takes."""
    before = sys.argv, sys.path[:], dict(sys.modules)
    for path in script.parent.glob("*.py"):
        sys.modules.pop(path.stem, None)
    sys.argv = [str(script), *map(str, options)]
    sys.path.insert(0, str(script.parent))
    out, err, status = io.StringIO(), io.StringIO(), 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                runpy.run_path(str(script), run_name="__main__")
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else int(end.code is not None)
                if isinstance(end.code, str):
                    print(end.code, file=sys.stderr)
    finally:
        gc.unfreeze()  # run() exempts all from collection, for the process to end soon; this one goes on
        sys.argv, sys.path[:] = before[:2]
        for path in script.parent.glob("*.py"):
            sys.modules.pop(path.stem, None)
        sys.modules.update({name: module for name, module in before[2].items() if name not in sys.modules})
    return Result(status, out.getvalue(), err.getvalue())


def environment(**extra: str) -> dict[str, str]:
    """A user's environment, with no screen: figures are written, not shown."""
    return {**os.environ, "MPLBACKEND": "agg", "PYTHONIOENCODING": "utf-8", **extra}


def run_alone(script: Path, *options: object, cwd: Path | None = None, **extra: str) -> Result:
    """Run a script in a process of its own, as `python script` does; `extra` are environment variables."""
    command: Sequence[str] = [sys.executable, str(script), *map(str, options)]
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, encoding="utf-8", env=environment(**extra), timeout=300
    )
    return Result(done.returncode, done.stdout, done.stderr)


def draw_image(color: tuple[int, int, int], seed: int) -> Image.Image:
    """A picture of blocks in shades of one colour, of another size for every seed."""
    rng = random.Random(seed)
    blocks = Image.new("RGB", (6, 5))
    blocks.putdata([tuple(max(0, min(255, c + rng.randint(-40, 40))) for c in color) for _ in range(30)])
    return blocks.resize((rng.randint(60, 120), rng.randint(60, 120)), Image.Resampling.NEAREST)


def draw_data_set(root: Path, classes: Sequence[str] = ("blue", "red"), train: int = 4, val: int = 2) -> Path:
    """root/train/<class>/*.jpg and root/val/<class>/*.jpg: classes that differ in colour."""
    for part, count in (("train", train), ("val", val)):
        for number, name in enumerate(classes):
            folder = root / part / name
            folder.mkdir(parents=True)
            for i in range(count):
                color = COLORS.get(name, list(COLORS.values())[number % len(COLORS)])
                draw_image(color, seed=1000 * number + 2 * i + (part == "val")).save(folder / f"{name}_{i}.jpg")
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


@pytest.fixture
def cifar10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A drawn CIFAR-10 of 100 + 40 images, which torchvision takes for the real one in this process."""
    root = draw_cifar10(tmp_path / "cifar")
    for name, value in md5_of_cifar10(root).items():
        monkeypatch.setattr(CIFAR10, name, value)
    return root


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)


@pytest.fixture(autouse=True)
def no_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")
