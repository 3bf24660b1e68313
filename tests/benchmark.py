"""Race each lesson's train.py against the lesson's own loop, on this machine.

python tests/benchmark.py                                   # every lesson, on pictures that it draws
python tests/benchmark.py --lessons Test2_alexnet --data-path data_set/flower_data --rounds 5

All sides train the same net on the same images with the same batch size, each in a process of its own; every round
runs them in the opposite order of the round before. The yardstick is the lesson's loop with num_workers=0, as the
lesson's notes have it; the loop of the videos, with a worker for each core, is a column of its own. The table gives
time of the yardstick / time of a side, median (least to most) of the rounds: figures of one machine, in one run.
"""

import argparse
import json
import os
import runpy
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import plain
import torch
from conftest import ROOT, draw_cifar10, load, md5_of_cifar10
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets


class Race(NamedTuple):
    """What one lesson's race is run over."""

    make_net: Callable[[int], nn.Module]  # with so many classes
    options: list[str]  # train.py's, so that it starts from scratch as the plain loop does
    batch_size: int
    lr: float
    images: int  # to train on, where images are drawn
    epochs: int


def model(folder: str) -> ModuleType:
    return load(folder, "model")


RACES = {
    "Test1_official_demo": Race(lambda n: model("Test1_official_demo").LeNet(), [], 36, 0.001, 8000, 8),
    "Test2_alexnet": Race(lambda n: model("Test2_alexnet").AlexNet(n, init_weights=True), [], 32, 0.0002, 450, 6),
    "Test3_vggnet": Race(
        lambda n: model("Test3_vggnet").vgg("vgg16", num_classes=n, init_weights=True), [], 32, 0.0001, 160, 1
    ),
    "Test4_googlenet": Race(lambda n: model("Test4_googlenet").GoogLeNet(n, True, True), [], 32, 0.0003, 450, 1),
    "Test5_resnet": Race(lambda n: model("Test5_resnet").resnet34(n), ["--weights", "none"], 16, 0.0001, 450, 1),
}
SIDES = {  # what runs on each side
    "lesson": "the lesson's loop, num_workers=0",
    "videos": "the same loop with a worker for each core",
    "train.py": "train.py",
    "--amp": "train.py --amp",
}


def child(side: str, folder: str, data: str, output: str, epochs: str, device: str) -> None:
    """Run one side, timing what happens between a training batch and the next; write what was measured as JSON."""
    data_path, output_dir = Path(data), Path(output)
    steps: list[float] = []
    iterate = DataLoader.__iter__

    def timed(self: DataLoader) -> Iterator:
        for batch in iterate(self):
            start = time.perf_counter()
            yield batch
            if torch.is_grad_enabled():
                steps.append(time.perf_counter() - start)

    DataLoader.__iter__ = timed
    workers = min(os.cpu_count() or 1, 8) if side == "videos" else 0
    if folder == plain.LENET:
        for name, value in md5_of_cifar10(data_path).items():
            setattr(datasets.CIFAR10, name, value)
    if side in ("lesson", "videos"):
        race, loaders = RACES[folder], plain.make_loaders(folder, data_path, RACES[folder].batch_size, workers)
        net = race.make_net(len(datasets.ImageFolder(data_path / "train").classes) if folder != plain.LENET else 10)
        plain.train(folder, net, loaders, race.lr, int(epochs), device=device, save_path=output_dir / "plain.pth")
    else:
        fixed = ["--data-path", data, "--output-dir", output, "--epochs", epochs, "--device", device]
        sys.argv = ["train.py", *fixed, *RACES[folder].options, *(["--amp"] if side == "--amp" else [])]
        runpy.run_path(str(ROOT / folder / "train.py"), run_name="__main__")
    measured = {"steps": steps, "memory": peak_memory(workers)}
    (output_dir / "measured.json").write_text(json.dumps(measured), encoding="utf-8")


def peak_memory(workers: int) -> float:
    """MB that this process and its workers held at the most, pages that they share counted in each; nan on Windows."""
    try:
        import resource
    except ImportError:
        return float("nan")
    own, largest = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return (own + workers * largest) / (1e6 if sys.platform == "darwin" else 1e3)


def measure(side: str, folder: str, data_path: Path, epochs: int, device: str) -> dict[str, float]:
    """Run one side: the time of the whole process and the median time of a step, in seconds, and the memory in MB."""
    with tempfile.TemporaryDirectory() as output_dir:
        options = [side, folder, data_path, output_dir, epochs, device]
        paths = os.pathsep.join(map(str, (ROOT / folder, ROOT / "tests")))
        command = [sys.executable, "-c", "import sys, benchmark; benchmark.child(*sys.argv[1:])", *map(str, options)]
        environment = {**os.environ, "PYTHONPATH": paths, "MPLBACKEND": "agg"}
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment)
        process = time.perf_counter() - start
        measured = json.loads((Path(output_dir) / "measured.json").read_text(encoding="utf-8"))
    steps = measured.pop("steps")
    return {**measured, "process": process, "step": statistics.median(steps[min(2, len(steps) - 1) :])}


def draw_data(folder: str, place: Path, images: int) -> Path:
    """Draw a data set of about `images` training images, and a ninth of that for validation."""
    if folder == "Test1_official_demo":
        return draw_cifar10(place / folder, train=images, test=images // 4)
    sys.path.insert(0, str(ROOT / "data_set"))
    from demo_flowers import draw_demo_set

    draw_demo_set(place / folder / "train", images_per_class=max(2, images // 5))
    draw_demo_set(place / folder / "val", images_per_class=max(1, images // 45), seed=1)
    return place / folder


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lessons", nargs="+", choices=RACES, default=list(RACES), help="which (default: all)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each side is run (default: %(default)s)")
    parser.add_argument("--epochs", type=int, help="number of epochs (default: one to eight, by lesson)")
    parser.add_argument("--images", type=int, help="training images to draw (default: by lesson)")
    parser.add_argument("--data-path", type=Path, help="flower photos, in train/ and val/, instead of drawn ones")
    parser.add_argument("--cifar-path", type=Path, help="root of a CIFAR-10 instead of a drawn one")
    parser.add_argument("--device", default="cpu", help="cpu, cuda:0, mps, ... (default: %(default)s)")
    parser.add_argument("--amp", action="store_true", help="a column for train.py --amp")
    args = parser.parse_args()
    sides = [side for side in SIDES if side != "--amp" or args.amp]

    print(f"torch {torch.__version__}, {args.device}, {torch.get_num_threads()} threads, {args.rounds} rounds")
    for side in sides:
        print(f"{side}: {SIDES[side]}")
    with tempfile.TemporaryDirectory() as place:
        for folder in args.lessons:
            race, given = RACES[folder], args.cifar_path if folder == "Test1_official_demo" else args.data_path
            data_path = (given or draw_data(folder, Path(place), args.images or race.images)).resolve()
            runs: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
            for number in range(args.rounds):
                for side in sides if number % 2 == 0 else reversed(sides):
                    runs[side].append(measure(side, folder, data_path, args.epochs or race.epochs, args.device))
            for side in sides:
                pairs = list(zip(runs["lesson"], runs[side], strict=True))
                process, step = ([a[what] / b[what] for a, b in pairs] for what in ("process", "step"))
                seconds, memory = (statistics.median(run[what] for run in runs[side]) for what in ("process", "memory"))
                print(f"{folder:<20} {side:<9} process {spread(process):<21} step {spread(step):<21} "
                      f"{seconds:6.1f} s {memory:6.0f} MB", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
