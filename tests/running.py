"""What the tests share: loading a lesson's modules, and running its scripts as a user does."""

import contextlib
import functools
import importlib
import io
import itertools
import multiprocessing
import os
import runpy
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest
import torch
from matplotlib.figure import Figure

Patch = pytest.MonkeyPatch
ROOT = Path(__file__).resolve().parent.parent
LESSONS = sorted(path.name for path in ROOT.glob("Test[0-9]_*"))

TINY_MODEL = """
import torch
from torch import nn

class AlexNet(nn.Module):
    def __init__(self, num_classes=1000, init_weights=False):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 8, 7, stride=4), nn.BatchNorm2d(8)
        self.dropout, self.fc = nn.Dropout(0.2), nn.Linear(8, num_classes)

    def forward(self, x):
        return self.fc(self.dropout(torch.relu(self.bn(self.conv(x))).mean(dim=(2, 3))))
"""


class Result(NamedTuple):
    """How a script ended, and what it printed."""

    status: int
    out: str
    err: str

    def lines(self, start: str) -> list[str]:
        """The printed lines that begin so."""
        return [line for line in self.out.splitlines() if line.startswith(start)]


@contextlib.contextmanager
def imports_from(folder: Path) -> Iterator[None]:
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


@functools.cache
def load(folder: str, name: str) -> ModuleType:
    """A lesson's module: five folders have a model.py."""
    with imports_from(ROOT / folder):
        return importlib.import_module(name)


def copy_lesson(folder: str, place: Path) -> Path:
    """Copy one folder's scripts to `place`, with nothing beside them, and return the copy."""
    copy = place / folder
    copy.mkdir(parents=True)
    for script in (ROOT / folder).glob("*.py"):
        shutil.copy(script, copy)
    return copy


class Tiny:
    """A copy of Test2 whose net is TINY_MODEL, and what its train.py leaves."""

    def __init__(self, place: Path, data: Path):
        self.folder = copy_lesson("Test2_alexnet", place)
        self.data = data
        self.last_path = self.folder / "AlexNet_last.pth"
        (self.folder / "model.py").write_text(TINY_MODEL, encoding="utf-8")

    def train(self, *options: object, changes: Sequence[tuple[str, str]] = ()) -> Result:
        """Change lines of train.py, which stay changed, and run it for two epochs."""
        edit(self.folder / "train.py", *changes)
        fixed = ["--data-path", self.data, "--batch-size", 3, "--workers", 0, "--epochs", 2]
        with no_pictures():
            return run_here(self.folder / "train.py", *fixed, *options)

    def predict(self, *options: object) -> Result:
        return run_here(self.folder / "predict.py", self.data / "val" / "red", *options)

    def last(self) -> dict:
        return torch.load(self.last_path, weights_only=True)

    def history(self) -> list[dict]:
        return self.last()["history"]


def edit(script: Path, *changes: tuple[str, str]) -> Path:
    """Replace pieces of a script, wherever they stand."""
    text = script.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text, f"{script.name} has no {old!r}"
        text = text.replace(old, new)
    script.write_text(text, encoding="utf-8")
    return script


def call(function: Callable[[], object], script: Path, *options: object) -> Result:
    """What a script's main function prints and how it ends."""
    argv = sys.argv
    out, err = output(), output()
    status = 0
    sys.argv = [str(script), *map(str, options)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            function()
    except SystemExit as end:
        if isinstance(end.code, str):  # Python prints it, and ends with status 1
            err.write(f"{end.code}\n")
            status = 1
        else:
            status = end.code or 0
    finally:
        sys.argv = argv
    return Result(status, text_of(out), text_of(err))


def output() -> io.TextIOWrapper:
    """A stream for print() to write to; a script can reconfigure it, as it can a process's own."""
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="")


def text_of(stream: io.TextIOWrapper) -> str:
    stream.flush()
    return stream.buffer.getvalue().decode("utf-8")


def run_here(script: Path, *options: object) -> Result:
    """Run a script as __main__ in this process, which saves the seconds of importing torch."""

    def run() -> None:
        runpy.run_path(str(script), run_name="__main__")

    with imports_from(script.parent):
        return call(run, script, *options)


def run_and_exit(method: str, script: Path, *options: object) -> None:
    """What a process of start() does."""
    # of data workers: not by a server of this server
    multiprocessing.set_start_method(method, force=True)
    torch.set_num_threads(1)  # several run at once
    sys.exit(run_here(script, *options).status)


def start(script: Path, *options: object) -> multiprocessing.Process:
    """Start a script in a process of its own.

    It has torch imported already, where the system can do so.
    """
    context = multiprocessing.get_context("forkserver" if hasattr(os, "fork") else "spawn")
    method = multiprocessing.get_start_method()
    process = context.Process(target=run_and_exit, args=(method, script, *options))
    process.start()
    return process


class Killed(BaseException):
    """Stands for SIGKILL: no operation on a file follows it."""


def is_stopped(
    at: int,
    error: type,
    operations: list[tuple[object, str]],
    function: Callable,
    *args: object,
) -> bool:
    """Call a function, of whose operations on files the one with number `at` raises `error`.

    If that is Killed, all later ones raise it too.

    Args:
        operations: (place, name) of each function that counts as one

    Returns:
        whether the function came to that operation
    """
    count = 0

    def counted(operation: Callable) -> Callable:
        def one_of_them(*args: object, **options: object) -> object:
            nonlocal count
            count += 1
            if count == at or (count > at and error is Killed):
                raise error
            return operation(*args, **options)

        return one_of_them

    with contextlib.suppress(Killed), Patch.context() as patch:
        for place, name in operations:
            patch.setattr(place, name, counted(getattr(place, name)))
        function(*args)
    return count >= at


@contextlib.contextmanager
def no_pictures() -> Iterator[None]:
    """Figures are drawn, but only a number is written, since a real one takes longer than a run."""
    number = itertools.count()

    def write(figure: Figure, path: Path, **options: object) -> None:
        path.write_text(f"picture {next(number)} of {time.monotonic_ns()}", encoding="utf-8")

    with Patch.context() as patch:
        patch.setattr(Figure, "savefig", write)
        yield


def works(result: Result) -> Result:
    """Assert exit status 0."""
    assert result.status == 0, result.err
    return result


def fails(result: Result, *names: object) -> None:
    """Assert exit status 1 and one line that holds each of `names`, and no traceback."""
    assert result.status == 1, result
    assert result.err.startswith("error: "), result.err
    assert result.err.count("\n") == 1, result.err
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
