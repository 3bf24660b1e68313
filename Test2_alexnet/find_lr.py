"""Look for a learning rate: raise it in every step, and see when the loss falls, and when it rises.

The learning rate range test (Smith 2015, https://arxiv.org/abs/1506.01186): AlexNet is trained from
its first weights, with the transforms of train.py, while the learning rate grows from 1e-6 to 1 by
the same factor in every step. It prints the rate at which the loss falls fastest and the one at
which it begins to diverge, and writes find_lr.png.
"""

import itertools
import math
from pathlib import Path

import torch
from torch import nn, optim

from helpers import (
    DataLoader,
    ImageFolder,
    Parser,
    UserError,
    manual_seed,
    positive_number,
    run,
    whole_number,
)
from model import AlexNet
from plots import new_figure
from train import data_transform

LOWEST, HIGHEST = 1e-6, 1.0
LESSON = 0.0002  # the learning rate of train.py


def smoothed(losses: list[float], keep: float = 0.9) -> list[float]:
    """The mean of the losses so far, of which each step counts `keep` times as much as the next."""
    means = []
    mean = 0.0
    for step, loss in enumerate(losses, start=1):
        mean = keep * mean + (1 - keep) * loss
        means.append(mean / (1 - keep**step))  # as in Adam: the weights so far add up to this
    return means


def falls_fastest(rates: list[float], losses: list[float]) -> float | None:
    """The rate at which the loss falls most from step to step, before it is smallest."""
    smallest = losses.index(min(losses))
    falls = [before - after for before, after in itertools.pairwise(losses[: smallest + 1])]
    return rates[falls.index(max(falls))] if falls else None


def diverges(rates: list[float], losses: list[float]) -> float | None:
    """The first rate, above that of the smallest loss, at which the loss is half as large again."""
    smallest = losses.index(min(losses))
    for rate, loss in zip(rates[smallest:], losses[smallest:], strict=True):
        if loss > 1.5 * losses[smallest]:
            return rate
    return None


def draw(
    path: Path,
    rates: list[float],
    losses: list[float],
    means: list[float],
    marks: dict[str, float],
) -> None:
    """Draw the losses over the learning rate, and a line at each of the marks."""
    with new_figure(path, 8.5, 4.8) as figure:
        axes = figure.subplots()
        axes.plot(rates, losses, color="silver", label="loss of each batch")
        axes.plot(rates, means, color="#0072b2", linewidth=2, label="smoothed")
        for (label, rate), style in zip(marks.items(), ("-", "--", ":"), strict=False):
            axes.axvline(rate, color="#d55e00", linestyle=style, label=f"{label}: {rate:.2g}")
        # where it diverges the loss has no limit
        axes.set_ylim(0, 2 * max(means[0], 1e-6))
        axes.set(xscale="log", xlabel="learning rate", ylabel="training loss")
        axes.xaxis.set_major_formatter(lambda rate, _: f"{rate:.0e}")
        axes.grid(alpha=0.3)
        axes.legend(loc="lower left")


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument(
        "--steps", type=positive_number, default=100, help="how many (default: %(default)s)"
    )
    parser.add_argument(
        "--batch-size",
        type=positive_number,
        default=32,
        help="images per step (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=whole_number,
        default=0,
        help="other first weights, in another order (default: %(default)s)",
    )
    parser.add_argument("--save", type=Path, help="file (default: find_lr.png in --output-dir)")
    args = parser.parse_args()
    if args.steps < 2:
        parser.error("--steps must be at least 2")
    device = torch.device(args.device)

    train_dataset = ImageFolder(args.data_path / "train", transform=data_transform["train"])
    train_loader = DataLoader(train_dataset, batch_size=args.batch_size, shuffle=True)
    manual_seed(args.seed)
    net = AlexNet(num_classes=len(train_dataset.classes), init_weights=True)
    net.to(device)
    loss_function = nn.CrossEntropyLoss()
    optimizer = optim.Adam(net.parameters(), lr=LOWEST, fused=True)  # as in train.py

    growth = (HIGHEST / LOWEST) ** (1 / (args.steps - 1))  # of the rate, from step to step
    rates, losses = [], []
    net.train()
    while len(rates) < args.steps:
        for images, labels in train_loader:  # as often as need be
            rate = LOWEST * growth ** len(rates)
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.zero_grad()
            loss = loss_function(net(images.to(device)), labels.to(device))
            loss.backward()
            optimizer.step()
            rates.append(rate)
            losses.append(loss.item())
            if len(rates) % 10 == 0:
                print(f"step {len(rates):4d}  lr {rate:.1e}  loss {losses[-1]:.3f}")
            if len(rates) == args.steps:
                break

    finite = [math.isfinite(value) for value in losses]
    if not all(finite):
        count = finite.index(False)
        if count == 0:
            raise UserError(f"the loss is {losses[0]} in the first step, whatever the rate")
        print(f"from lr {rates[count]:.1e} on the loss is no number")
        rates, losses = rates[:count], losses[:count]
    means = smoothed(losses)
    fastest, limit = falls_fastest(rates, means), diverges(rates, means)
    marks = {"the lesson's": LESSON}
    if fastest:
        print(f"the loss falls fastest at lr {fastest:.1e}")
        marks["falls fastest"] = fastest
    else:
        print("the loss does not fall")
    if limit:
        print(f"it diverges from lr {limit:.1e} on")
        marks["diverges"] = limit
    else:
        print(f"it does not diverge up to lr {HIGHEST}")
    print(f"the lesson's is {LESSON}")
    draw(args.save or args.output_dir / "find_lr.png", rates, losses, means, marks)


if __name__ == "__main__":
    run(main)
