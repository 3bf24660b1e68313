"""Race each lesson's train.py against the loop that the lesson's video shows, on this machine.

python tests/benchmark.py                                   # every lesson, on pictures that it draws
python tests/benchmark.py --lessons Test2_alexnet --data-path data_set/flower_data --rounds 5

Both sides train the same net on the same images with the same batch size, each in a process of its own, in turn. The
table gives the ratio of their times with its spread over the rounds: figures of one machine, in one run. The loop of
the videos stands below, in plain_flowers() and plain_cifar10(), as the yardstick.
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
from typing import NamedTuple

import torch
from conftest import LESSONS, ROOT, draw_cifar10, environment, load, md5_of_cifar10
from torch import nn, optim
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode
from torchvision import datasets, transforms

DATA_SET = ROOT / "data_set"


class Race(NamedTuple):
    """What one lesson's race is run over."""

    make_net: Callable[[int], nn.Module]  # with so many classes
    options: list[str]  # train.py's, so that it starts from scratch as the plain loop does
    side: int  # of an image
    batch_size: int
    lr: float
    images: int  # to train on, where images are drawn
    epochs: int


RACES = {
    "Test1_official_demo": Race(lambda n: load("Test1_official_demo", "model").LeNet(), [], 32, 36, 0.001, 8000, 4),
    "Test2_alexnet": Race(
        lambda n: load("Test2_alexnet", "model").AlexNet(num_classes=n, init_weights=True), [], 224, 32, 0.0002, 450, 4
    ),
    "Test3_vggnet": Race(
        lambda n: load("Test3_vggnet", "model").vgg("vgg16", num_classes=n, init_weights=True),
        [], 224, 32, 0.0001, 160, 1,
    ),
    "Test4_googlenet": Race(
        lambda n: load("Test4_googlenet", "model").GoogLeNet(num_classes=n, init_weights=True),
        [], 224, 32, 0.0003, 320, 1,
    ),
    "Test5_resnet": Race(
        lambda n: load("Test5_resnet", "model").resnet34(num_classes=n), ["--weights", "none"], 224, 16, 0.0001, 240, 1
    ),
}  # fmt: skip

HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


# ---------------------------------------------------------------- the yardstick: the loop of the videos


def plain_flowers(folder: str, data_path: Path, output_dir: Path, epochs: int, batch_size: int) -> None:
    """ImageFolder, as many workers as cores, the default memory layout, Adam, .item() in every step."""
    race = RACES[folder]
    normalize = transforms.Normalize(*(IMAGENET if folder == "Test5_resnet" else HALF))
    to_size = [transforms.Resize(256), transforms.CenterCrop(224)] if folder == "Test5_resnet" else []
    data_transform = {
        "train": transforms.Compose(
            [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip(), transforms.ToTensor(), normalize]
        ),
        "val": transforms.Compose([*(to_size or [transforms.Resize((224, 224))]), transforms.ToTensor(), normalize]),
    }
    train_dataset = datasets.ImageFolder(data_path / "train", data_transform["train"])
    validate_dataset = datasets.ImageFolder(data_path / "val", data_transform["val"])
    workers = min(os.cpu_count() or 1, batch_size, 8)
    train_loader = DataLoader(train_dataset, batch_size=batch_size, shuffle=True, num_workers=workers)
    validate_loader = DataLoader(validate_dataset, batch_size=batch_size, shuffle=False, num_workers=workers)

    net = race.make_net(len(train_dataset.classes))
    loss_function = nn.CrossEntropyLoss()
    optimizer = optim.Adam(net.parameters(), lr=race.lr)
    best_acc = 0.0
    for epoch in range(epochs):
        net.train()
        running_loss = 0.0
        for images, labels in train_loader:
            optimizer.zero_grad()
            outputs = net(images)
            if isinstance(outputs, tuple):
                losses = [loss_function(output, labels) for output in outputs]
                loss = losses[0] + losses[1] * 0.3 + losses[2] * 0.3
            else:
                loss = loss_function(outputs, labels)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
        net.eval()
        acc = 0.0
        with torch.no_grad():
            for images, labels in validate_loader:
                predict_y = torch.max(net(images), dim=1)[1]
                acc += torch.eq(predict_y, labels).sum().item()
        val_accurate = acc / len(validate_dataset)
        print(
            f"[epoch {epoch + 1}] train_loss: {running_loss / len(train_loader):.3f}  val_accuracy: {val_accurate:.3f}"
        )
        if val_accurate > best_acc:
            best_acc = val_accurate
            torch.save(net.state_dict(), output_dir / "plain.pth")


def plain_cifar10(data_path: Path, output_dir: Path, epochs: int, batch_size: int) -> None:
    """Every picture turned into a tensor and normalised by itself, in the main process, every time it is seen."""
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(*HALF)])
    train_set = datasets.CIFAR10(data_path, train=True, transform=transform)
    val_set = datasets.CIFAR10(data_path, train=False, transform=transform)
    train_loader = DataLoader(train_set, batch_size=batch_size, shuffle=True, num_workers=0)
    val_image, val_label = next(iter(DataLoader(val_set, batch_size=5000, shuffle=False, num_workers=0)))

    net = RACES["Test1_official_demo"].make_net(10)
    loss_function = nn.CrossEntropyLoss()
    optimizer = optim.Adam(net.parameters(), lr=0.001)
    for epoch in range(epochs):
        running_loss = 0.0
        for step, (inputs, labels) in enumerate(train_loader):
            optimizer.zero_grad()
            outputs = net(inputs)
            loss = loss_function(outputs, labels)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
            if step % 500 == 499:
                with torch.no_grad():
                    predict_y = torch.max(net(val_image), dim=1)[1]
                    accuracy = torch.eq(predict_y, val_label).sum().item() / val_label.size(0)
                print(
                    f"[{epoch + 1}, {step + 1:5d}] train_loss: {running_loss / 500:.3f}  test_accuracy: {accuracy:.3f}"
                )
                running_loss = 0.0
    torch.save(net.state_dict(), output_dir / "plain.pth")


# ---------------------------------------------------------------- one run, in a process of its own


# train.py imports the lesson's utils.py first, because torch loads faster after it; the videos' loop has no utils.py
CHILD = """
import sys
if sys.argv[1] == "train.py":
    import utils
import benchmark
benchmark.child(*sys.argv[1:])
"""


def child(side: str, folder: str, data: str, output: str, epochs: str, batch_size: str) -> None:
    """Run one side, timing what happens between a training batch and the next; write what was measured as JSON."""
    data_path, output_dir = Path(data), Path(output)
    steps: list[float] = []
    iterate = DataLoader.__iter__

    def timed(self: DataLoader) -> Iterator:
        for batch in iterate(self):
            start = time.perf_counter()
            yield batch
            if torch.is_grad_enabled() and not torch.is_inference_mode_enabled():
                steps.append(time.perf_counter() - start)

    DataLoader.__iter__ = timed
    if folder == "Test1_official_demo":
        for name, value in md5_of_cifar10(data_path).items():
            setattr(datasets.CIFAR10, name, value)
    if side == "plain" and folder == "Test1_official_demo":
        plain_cifar10(data_path, output_dir, int(epochs), int(batch_size))
    elif side == "plain":
        plain_flowers(folder, data_path, output_dir, int(epochs), int(batch_size))
    else:
        fixed = ["--data-path", data_path, "--output-dir", output_dir, "--epochs", epochs, "--batch-size", batch_size]
        sys.argv = ["train.py", *map(str, fixed), "--device", "cpu", *RACES[folder].options]
        runpy.run_path(str(ROOT / folder / "train.py"), run_name="__main__")
    (output_dir / "measured.json").write_text(json.dumps({"steps": steps, "peak": peak_memory()}), encoding="utf-8")


def peak_memory() -> float:
    """MB that this process held at the most; nan where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def measure(side: str, folder: str, data_path: Path, epochs: int, batch_size: int) -> dict[str, float]:
    """Run one side and return its whole time, the median time of a step (both in seconds), and its peak memory."""
    with tempfile.TemporaryDirectory() as output_dir:
        options = [side, folder, data_path, output_dir, epochs, batch_size]
        paths = os.pathsep.join(map(str, (ROOT / folder, ROOT / "tests")))
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", CHILD, *map(str, options)],
            check=True,
            stdout=subprocess.PIPE,
            env=environment(PYTHONPATH=paths),
        )
        process = time.perf_counter() - start
        measured = json.loads((Path(output_dir) / "measured.json").read_text(encoding="utf-8"))
    steps = measured["steps"]
    return {"process": process, "step": statistics.median(steps[min(2, len(steps) - 1) :]), "peak": measured["peak"]}


# ---------------------------------------------------------------- what is measured


def matrix_rate() -> float:
    """Floating-point operations a second of a product of two 2048 x 2048 float32 matrices: the machine's limit."""
    a, size, rates = torch.randn(2048, 2048), 2048, []
    for _ in range(12):
        start = time.perf_counter()
        a @ a
        rates.append(2 * size**3 / (time.perf_counter() - start))
    return statistics.median(rates[2:])


def operations(race: Race) -> float:
    """Floating-point operations of one image's forward and backward pass, in convolutions and matrix products."""
    net = race.make_net(5).train()
    images = torch.randn(2, 3, race.side, race.side)
    with FlopCounterMode(display=False) as counter:
        outputs = net(images)
        sum(output.sum() for output in (outputs if isinstance(outputs, tuple) else (outputs,))).backward()
    return counter.get_total_flops() / 2


def draw_data(folder: str, place: Path, images: int) -> Path:
    """Draw a data set of about `images` training images, and a ninth of that for validation."""
    if folder == "Test1_official_demo":
        return draw_cifar10(place / folder, train=images, test=images // 4)
    sys.path.insert(0, str(DATA_SET))
    from demo_flowers import draw_demo_set

    draw_demo_set(place / folder / "train", images_per_class=max(2, images // 5))
    draw_demo_set(place / folder / "val", images_per_class=max(1, images // 45), seed=1)
    return place / folder


def count_images(folder: str, data_path: Path) -> int:
    if folder == "Test1_official_demo":
        from conftest import CIFAR10

        for name, value in md5_of_cifar10(data_path).items():
            setattr(CIFAR10, name, value)
        return len(CIFAR10(data_path, train=True))
    return len(datasets.ImageFolder(data_path / "train"))


def race(folder: str, data_path: Path, rounds: int, epochs: int | None) -> dict:
    """Run both sides in turn, `rounds` times."""
    setting = RACES[folder]
    epochs = epochs or setting.epochs
    results: dict[str, list[dict[str, float]]] = {"plain": [], "train.py": []}
    rates = []
    for _ in range(rounds):
        for side, measured in results.items():
            measured.append(measure(side, folder, data_path, epochs, setting.batch_size))
        rates.append(matrix_rate())

    def middle(side: str, what: str) -> float:
        return statistics.median(m[what] for m in results[side])

    def ratios(what: str) -> list[float]:
        return [a[what] / b[what] for a, b in zip(*results.values(), strict=True)]

    images = count_images(folder, data_path) * epochs
    per_second = operations(setting) * setting.batch_size / middle("train.py", "step")
    return {
        "lesson": folder,
        "images": images,
        "plain": images / middle("plain", "process"),
        "train.py": images / middle("train.py", "process"),
        "process": ratios("process"),
        "step": ratios("step"),
        "share": per_second / statistics.median(rates),
        "rate": statistics.median(rates),
        "memory": (middle("plain", "peak"), middle("train.py", "peak")),
    }


def growth(folder: str, place: Path, images: int) -> list[str]:
    """How train.py's time grows: a step's with the batch size, an epoch's with the number of images."""
    setting, lines = RACES[folder], []
    data_path = draw_data(folder, place / "whole", images)
    for factor in (0.5, 1, 2):
        batch_size = int(setting.batch_size * factor)
        step = measure("train.py", folder, data_path, 1, batch_size)["step"]
        lines.append(f"{folder}  batch size {batch_size:3d}: {1000 * step / batch_size:8.2f} ms an image in a step")
    half = draw_data(folder, place / "half", images // 2)
    for path in (half, data_path):
        one, three = (measure("train.py", folder, path, epochs, setting.batch_size)["process"] for epochs in (1, 3))
        count = count_images(folder, path)
        lines.append(f"{folder}  {count:5d} images: {(three - one) / 2:8.2f} s an epoch")
    return lines


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def draw(rows: list[dict], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.subplots()
    for row, what, color in ((0, "process", "#0072b2"), (1, "step", "#d55e00")):
        values = [statistics.median(r[what]) for r in rows]
        below = [value - min(r[what]) for value, r in zip(values, rows, strict=True)]
        above = [max(r[what]) - value for value, r in zip(values, rows, strict=True)]
        places = [i + 0.4 * row for i in range(len(rows))]
        label = {"process": "whole process", "step": "one training step"}[what]
        bars = axes.bar(places, values, 0.38, yerr=(below, above), capsize=4, color=color, label=label)
        axes.bar_label(bars, fmt="%.2f", label_type="center", color="white")
    axes.axhline(1, color="black", linewidth=1)
    axes.set_xticks([i + 0.2 for i in range(len(rows))], [r["lesson"] for r in rows])
    axes.set_ylabel("time of the plain loop / time of train.py")
    axes.legend()
    figure.savefig(path, dpi=100)


def main() -> None:
    utils = load(LESSONS[0], "utils")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lessons", nargs="+", choices=RACES, default=list(RACES), help="which (default: all)")
    parser.add_argument(
        "--rounds", type=utils.positive_int, default=3, help="how often each side is run (default: %(default)s)"
    )
    parser.add_argument("--epochs", type=utils.positive_int, help="of a run (default: one to four, by lesson)")
    parser.add_argument("--images", type=utils.positive_int, help="training images to draw (default: by lesson)")
    parser.add_argument("--data-path", type=Path, help="flower photos, in train/ and val/, instead of drawn ones")
    parser.add_argument("--cifar-path", type=Path, help="root of a CIFAR-10 instead of a drawn one")
    parser.add_argument("--growth", action="store_true", help="measure too how time grows with batch and data set")
    parser.add_argument("--save", type=utils.figure, metavar="FIGURE", help="draw the ratios to this file")
    args = parser.parse_args()
    for path in (args.data_path, args.cifar_path):
        if path and not path.is_dir():
            parser.error(f"no folder {path}")

    rows, grown = [], []
    with tempfile.TemporaryDirectory() as place:
        for folder in args.lessons:
            given = args.cifar_path if folder == "Test1_official_demo" else args.data_path
            images = args.images or RACES[folder].images
            data_path = (given or draw_data(folder, Path(place), images)).resolve()
            rows.append(race(folder, data_path, args.rounds, args.epochs))
            if args.growth:
                grown += growth(folder, Path(place) / folder, max(images // 2, 2 * RACES[folder].batch_size))
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {args.rounds} rounds")
    print("images/s: of the whole process. ratio: plain / train.py, median (least to most). share: of the matrix rate")
    print(f"{'lesson':<20}{'images':>7}{'plain':>8}{'train.py':>9}  {'process ratio':<21}{'step ratio':<21}"
          f"{'share':>6}{'GFLOP/s':>9}{'MB plain':>10}{'MB train.py':>12}")  # fmt: skip
    for row in rows:
        print(f"{row['lesson']:<20}{row['images']:>7}{row['plain']:>8.1f}{row['train.py']:>9.1f}  "
              f"{spread(row['process']):<21}{spread(row['step']):<21}{row['share']:>6.2f}{row['rate'] / 1e9:>9.0f}"
              f"{row['memory'][0]:>10.0f}{row['memory'][1]:>12.0f}")  # fmt: skip
    for line in grown:
        print(line)
    if args.save:
        draw(rows, args.save)


if __name__ == "__main__":
    main()
