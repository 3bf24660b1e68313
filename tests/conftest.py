"""What the tests are given."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: tiny nets wait for a second thread
import socket
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from drawn import draw_cifar10, draw_data_set, md5_of_cifar10
from running import LESSONS, Patch, Tiny, load
from torchvision.datasets import CIFAR10

if hasattr(os, "fork"):
    from multiprocessing import forkserver

    # the server of running.start() loads torch while pytest does, without screen and GPU
    with Patch.context() as patch:
        patch.setenv("MPLBACKEND", "agg")
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        forkserver.set_forkserver_preload(["torchvision", "matplotlib.pyplot"])
        forkserver.ensure_running()


@pytest.fixture(scope="session")
def data_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of two classes, 8 + 4 images. Tests only read it."""
    return draw_data_set(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def cifar10(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A drawn CIFAR-10 of 100 + 40 images, which torchvision takes for the real one here."""
    root = draw_cifar10(tmp_path_factory.mktemp("cifar"))
    with Patch.context() as patch:
        for name, value in md5_of_cifar10(root).items():
            patch.setattr(CIFAR10, name, value)
        yield root


@pytest.fixture
def tiny(tmp_path: Path, data_set: Path) -> Tiny:
    return Tiny(tmp_path, data_set)


@pytest.fixture
def helpers() -> ModuleType:
    return load("Test2_alexnet", "helpers")


@pytest.fixture(scope="session", params=LESSONS)
def folder(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(autouse=True)
def one_result_on_every_machine(
    request: pytest.FixtureRequest, monkeypatch: Patch
) -> Iterator[None]:
    """No screen, and no accelerator but in the tests that are marked so."""
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("COLUMNS", "300")  # argparse then breaks no path
    # a failed run's workers end sooner
    monkeypatch.setattr(torch.utils.data._utils, "MP_STATUS_CHECK_INTERVAL", 0.5)
    if "accelerator" not in request.keywords:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
        monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    yield
    socket.setdefaulttimeout(None)  # the scripts that fetch files set it
