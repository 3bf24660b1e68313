"""Race each lesson's train.py against the lesson's own loop, on this machine.

    python tests/benchmark.py                                   # every lesson, on drawn pictures
    python tests/benchmark.py --lessons Test2_alexnet --data-path data_set/flower_data --rounds 5

All sides train the same net, from the same first weights, on the same images with the same batch
size, each in a process of its own; every round runs them in the opposite order of the round before.
The yardstick is the lesson's loop with num_workers=0, as the lesson's notes have it; the loop of
the videos, with a worker for each core, is another side. The table gives time of the yardstick /
time of a side, median (least to most) of the rounds: figures of one machine, in one run.

On a machine that others use as well, the same work takes longer in one minute than in the next.
With --at-once the sides of a round run at the same time, with as many cores each, so that this
hits all of them alike, but for the seconds after one has ended.

A CPU of today can be made to compute as one with AVX2 alone, as most laptops have, by the
environment variables ATEN_CPU_CAPABILITY=avx2 and ONEDNN_MAX_CPU_ISA=AVX2.
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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import plain
import torch
from drawn import draw_cifar10, md5_of_cifar10
from running import ROOT
from torch.utils.data import DataLoader
from torchvision import datasets

# training images to draw, and number of epochs: some epochs and minutes of training, so that what a
# run does once (importing torch, drawing the mistakes) counts for little, as it does in a lesson
RACES = {
    plain.LENET: (50_000, 5),
    plain.ALEXNET: (960, 6),
    plain.VGG: (160, 2),
    plain.GOOGLENET: (450, 4),
    plain.RESNET: (450, 3),
}
SIDES = {
    "lesson": "the lesson's loop, num_workers=0",
    "videos": "the same loop with a worker for each core",
    "train.py": "train.py",
    "--amp": "train.py --amp",
}


def child(
    side: str, folder: str, data: str, output: str, epochs: str, device: str, cores: str
) -> None:
    """Run one side, time each training step, and write what was measured as JSON.

    Args:
        cores: the numbers of those to compute on, with commas between them; none: all
    """
    if cores:
        os.sched_setaffinity(0, [int(core) for core in cores.split(",")])
        torch.set_num_threads(cores.count(",") + 1)
    steps: list[float] = []
    iterate = DataLoader.__iter__

    def timed(self: DataLoader) -> Iterator:
        for batch in iterate(self):
            start = time.perf_counter()
            yield batch
            if torch.is_grad_enabled():  # not in validation
                steps.append(time.perf_counter() - start)

    DataLoader.__iter__ = timed
    if folder == plain.LENET:
        for name, value in md5_of_cifar10(Path(data)).items():
            setattr(datasets.CIFAR10, name, value)
    workers = 0
    if side == "videos":
        workers = min(torch.get_num_threads() if cores else os.cpu_count() or 1, 8)
    if side in ("lesson", "videos"):
        batch_size = plain.DEFAULTS[folder][1]
        loaders = plain.make_loaders(folder, Path(data), batch_size, workers)
        torch.manual_seed(0)  # the first weights of train.py
        if folder == plain.LENET:
            torch.randint(2**31, ())  # which it draws when it reads the test images
        net = plain.make_net(folder, len(loaders[0].dataset.classes))
        save_path = Path(output) / "plain.pth"
        plain.train(folder, net, loaders, int(epochs), device=device, save_path=save_path)
    else:
        sys.argv = ["train.py", "--data-path", data, "--output-dir", output]
        sys.argv += ["--epochs", epochs, "--device", device]
        if folder == plain.RESNET:
            sys.argv += ["--weights", "none"]
        if side == "--amp":
            sys.argv += ["--amp"]
        runpy.run_path(str(ROOT / folder / "train.py"), run_name="__main__")
    measured = json.dumps({"steps": steps, "memory": peak_memory(workers)})
    (Path(output) / "measured.json").write_text(measured, encoding="utf-8")


def peak_memory(workers: int) -> float:
    """MB that this process and its workers held at the most; nan on Windows.

    Pages that processes share are counted in each.
    """
    try:
        import resource
    except ImportError:
        return float("nan")
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    unit = 1e6 if sys.platform == "darwin" else 1e3  # bytes there, KB elsewhere
    return (own + workers * largest) / unit


def measure(
    side: str, folder: str, data_path: Path, epochs: int, device: str, cores: list[int]
) -> dict[str, float]:
    """Run one side in a process of its own, on those cores, or on all if none are given.

    Returns:
        the seconds of the whole process and of its median step, and the MB of memory
    """
    with tempfile.TemporaryDirectory() as output_dir:
        code = "import sys, benchmark; benchmark.child(*sys.argv[1:])"
        arguments = [side, folder, str(data_path), output_dir, str(epochs), device]
        arguments += [",".join(str(core) for core in cores)]
        paths = os.pathsep.join([str(ROOT / folder), str(ROOT / "tests")])
        environment = {**os.environ, "PYTHONPATH": paths, "MPLBACKEND": "agg"}
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", code, *arguments],
            check=True,
            stdout=subprocess.PIPE,
            env=environment,
        )
        process = time.perf_counter() - start
        measured = json.loads((Path(output_dir) / "measured.json").read_text(encoding="utf-8"))
    steps = measured["steps"]
    steps = steps[min(2, len(steps) - 1) :]  # the first ones are slower
    return {"process": process, "step": statistics.median(steps), "memory": measured["memory"]}


def shares_of_cores(sides: int) -> list[list[int]]:
    """The cores that this process may use, in as many equal shares.

    Raises:
        SystemExit: they cannot be shared out.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise SystemExit("error: --at-once needs a system that can keep a process on some cores")
    cores = sorted(os.sched_getaffinity(0))
    each = len(cores) // sides
    if not each:
        raise SystemExit(f"error: --at-once needs a core for each of {sides} sides, not {cores}")
    return [cores[side * each : (side + 1) * each] for side in range(sides)]


def draw_data(folder: str, place: Path, images: int) -> Path:
    """Draw a data set of about `images` training images, and a ninth of that for validation."""
    if folder == plain.LENET:
        return draw_cifar10(place / folder, train=images, test=images // 5)
    sys.path.insert(0, str(ROOT / "data_set"))
    from demo_flowers import draw_demo_set

    draw_demo_set(place / folder / "train", images_per_class=max(2, images // 5))
    draw_demo_set(place / folder / "val", images_per_class=max(1, images // 45), seed=1)
    return place / folder


def print_row(folder: str, side: str, lesson: list[dict], runs: list[dict]) -> None:
    """Print the ratios of the rounds of one side: median (least to most)."""
    print(f"{folder:<20} {side:<9}", end="")
    for what in ("process", "step"):
        ratios = [a[what] / b[what] for a, b in zip(lesson, runs, strict=True)]
        print(
            f" {what} {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})  ",
            end="",
        )
    seconds = statistics.median(run["process"] for run in runs)
    step = statistics.median(run["step"] for run in runs)
    memory = statistics.median(run["memory"] for run in runs)
    print(f"{seconds:6.1f} s  step {1000 * step:6.1f} ms  {memory:6.0f} MB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--lessons", nargs="+", choices=RACES, default=list(RACES), help="which (default: all)"
    )
    parser.add_argument(
        "--sides",
        nargs="+",
        choices=list(SIDES)[1:],
        default=["videos", "train.py"],
        help="what races against the lesson's loop (default: videos train.py)",
    )
    parser.add_argument(
        "--rounds", type=int, default=3, help="how often each side is run (default: %(default)s)"
    )
    parser.add_argument(
        "--at-once",
        action="store_true",
        help="run the sides of a round at the same time, with an equal share of the cores each",
    )
    parser.add_argument(
        "--data-path", type=Path, help="flower photos, in train/ and val/, instead of drawn ones"
    )
    parser.add_argument("--cifar-path", type=Path, help="root of a CIFAR-10 instead of a drawn one")
    parser.add_argument(
        "--device", default="cpu", help="cpu, cuda:0, mps, ... (default: %(default)s)"
    )
    args = parser.parse_args()
    sides = ["lesson", *args.sides]
    shares = [[] for side in sides]
    if args.at_once:
        shares = shares_of_cores(len(sides))
    threads = len(shares[0]) or torch.get_num_threads()

    print(
        f"torch {torch.__version__}, {args.device}, {threads} threads, "
        f"CPU capability {torch.backends.cpu.get_cpu_capability()}, {args.rounds} rounds"
        + (", the sides at once" if args.at_once else "")
    )
    for side in sides:
        print(f"{side}: {SIDES[side]}")
    with tempfile.TemporaryDirectory() as place:
        for folder in args.lessons:
            images, epochs = RACES[folder]
            data_path = args.cifar_path if folder == plain.LENET else args.data_path
            if not data_path:
                data_path = draw_data(folder, Path(place), images)
            runs: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
            for number in range(args.rounds):
                order = sides if number % 2 == 0 else sides[::-1]
                if args.at_once:  # each side on each share of the cores
                    order = [sides[(place + number) % len(sides)] for place in range(len(sides))]
                with ThreadPoolExecutor(len(sides) if args.at_once else 1) as pool:
                    started = [
                        pool.submit(
                            measure, side, folder, data_path.resolve(), epochs, args.device, cores
                        )
                        for side, cores in zip(order, shares, strict=True)
                    ]
                    for side, run in zip(order, started, strict=True):
                        runs[side].append(run.result())
            for side in sides:
                print_row(folder, side, runs["lesson"], runs[side])


if __name__ == "__main__":
    main()
