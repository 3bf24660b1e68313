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
from collections.abc import Iterator
from pathlib import Path

import plain
import torch
from drawn import draw_cifar10, md5_of_cifar10
from running import ROOT
from torch.utils.data import DataLoader
from torchvision import datasets

# training images to draw, number of epochs: enough that a process's start is not all that is timed
RACES = {plain.LENET: (8000, 8), plain.ALEXNET: (450, 6), plain.VGG: (160, 1), plain.GOOGLENET: (450, 1),
         plain.RESNET: (450, 1)}  # fmt: skip
SIDES = {  # what runs on each side
    "lesson": "the lesson's loop, num_workers=0",
    "videos": "the same loop with a worker for each core",
    "train.py": "train.py",
    "--amp": "train.py --amp",
}


def child(side: str, folder: str, data: str, output: str, epochs: str, device: str) -> None:
    """Run one side, timing what happens between a training batch and the next; write what was measured as JSON."""
    data_path, output_dir, steps, iterate = Path(data), Path(output), [], DataLoader.__iter__

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
        loaders = plain.make_loaders(folder, data_path, plain.DEFAULTS[folder][1], workers)
        net = plain.make_net(folder, len(loaders[0].dataset.classes))
        plain.train(
            folder, net, loaders, int(epochs), device=device, save_path=output_dir / "plain.pth"
        )
    else:
        fixed = [
            "--data-path",
            data,
            "--output-dir",
            output,
            "--epochs",
            epochs,
            "--device",
            device,
        ]
        sys.argv = ["train.py", *fixed, *(["--weights", "none"] if folder == plain.RESNET else [])]
        sys.argv += ["--amp"] if side == "--amp" else []
        runpy.run_path(str(ROOT / folder / "train.py"), run_name="__main__")
    measured = json.dumps({"steps": steps, "memory": peak_memory(workers)})
    (output_dir / "measured.json").write_text(measured, encoding="utf-8")


def peak_memory(workers: int) -> float:
    """MB that this process and its workers held at the most, pages that they share counted in each; nan on Windows."""
    try:
        import resource
    except ImportError:
        return float("nan")
    own, largest = (
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return (own + workers * largest) / (1e6 if sys.platform == "darwin" else 1e3)


def measure(side: str, folder: str, data_path: Path, epochs: int, device: str) -> dict[str, float]:
    """Run one side: the time of the whole process and the median time of a step, in seconds, and the memory in MB."""
    with tempfile.TemporaryDirectory() as output_dir:
        options = [side, folder, data_path, output_dir, epochs, device]
        paths = os.pathsep.join(map(str, (ROOT / folder, ROOT / "tests")))
        command = [
            sys.executable,
            "-c",
            "import sys, benchmark; benchmark.child(*sys.argv[1:])",
            *map(str, options),
        ]
        environment = {**os.environ, "PYTHONPATH": paths, "MPLBACKEND": "agg"}
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment)
        process = time.perf_counter() - start
        measured = json.loads((Path(output_dir) / "measured.json").read_text(encoding="utf-8"))
    steps = measured.pop("steps")
    return {
        **measured,
        "process": process,
        "step": statistics.median(steps[min(2, len(steps) - 1) :]),
    }


def draw_data(folder: str, place: Path, images: int) -> Path:
    """Draw a data set of about `images` training images, and a ninth of that for validation."""
    if folder == plain.LENET:
        return draw_cifar10(place / folder, train=images, test=images // 4)
    sys.path.insert(0, str(ROOT / "data_set"))
    from demo_flowers import draw_demo_set

    draw_demo_set(place / folder / "train", images_per_class=max(2, images // 5))
    draw_demo_set(place / folder / "val", images_per_class=max(1, images // 45), seed=1)
    return place / folder


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--lessons", nargs="+", choices=RACES, default=list(RACES), help="which (default: all)"
    )
    parser.add_argument(
        "--rounds", type=int, default=3, help="how often each side is run (default: %(default)s)"
    )
    parser.add_argument(
        "--data-path", type=Path, help="flower photos, in train/ and val/, instead of drawn ones"
    )
    parser.add_argument("--cifar-path", type=Path, help="root of a CIFAR-10 instead of a drawn one")
    parser.add_argument(
        "--device", default="cpu", help="cpu, cuda:0, mps, ... (default: %(default)s)"
    )
    parser.add_argument("--amp", action="store_true", help="a column for train.py --amp")
    args = parser.parse_args()
    sides = [side for side in SIDES if side != "--amp" or args.amp]

    print(
        f"torch {torch.__version__}, {args.device}, {torch.get_num_threads()} threads, {args.rounds} rounds"
    )
    print(*(f"{side}: {SIDES[side]}" for side in sides), sep="\n")
    with tempfile.TemporaryDirectory() as place:
        for folder in args.lessons:
            given, (images, epochs) = (
                args.cifar_path if folder == plain.LENET else args.data_path,
                RACES[folder],
            )
            data_path = (given or draw_data(folder, Path(place), images)).resolve()
            runs: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
            for number in range(args.rounds):
                for side in sides if number % 2 == 0 else reversed(sides):
                    runs[side].append(measure(side, folder, data_path, epochs, args.device))
            for side in sides:
                print(f"{folder:<20} {side:<9}", end="")
                for what in ("process", "step"):
                    found = [
                        a[what] / b[what] for a, b in zip(runs["lesson"], runs[side], strict=True)
                    ]
                    print(
                        f" {what} {statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f})  ",
                        end="",
                    )
                seconds, memory = (
                    statistics.median(run[what] for run in runs[side])
                    for what in ("process", "memory")
                )
                print(f"{seconds:6.1f} s {memory:6.0f} MB", flush=True)


if __name__ == "__main__":
    main()
