"""The pictures of what happened. The same file in all five folders."""

import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from helpers import UserError, save


@contextmanager
def new_figure(path: Path, width: float, height: float, show: bool = True) -> Iterator:
    """A figure of that size in inches to draw on. Then it is written to `path`, and shown if there is a screen."""
    backend = os.environ.pop(
        "MPLBACKEND", ""
    )  # perhaps of a notebook or an editor whose packages are not here
    from matplotlib import (
        font_manager,
        pyplot,
    )  # only now: the processes that load images have no use for it

    wanted = {
        "Microsoft YaHei",
        "PingFang SC",
        "Noto Sans CJK SC",
        "WenQuanYi Micro Hei",
    }  # for Chinese names
    fonts = ["DejaVu Sans", *wanted.intersection(font_manager.get_font_names())]
    # not the user's own style, which may need LaTeX. The warnings are about letters that none of the fonts has
    style = pyplot.style.context(["default", {"font.family": fonts, "text.parse_math": False}])
    with style, warnings.catch_warnings(record=True):
        try:
            pyplot.switch_backend((backend or pyplot.get_backend()) if show else "agg")
        except (ImportError, ValueError):
            pyplot.switch_backend("agg")
        figure = pyplot.figure(figsize=(width, height), layout="constrained")
        yield figure
        save(figure, path)
        print(f"drawn in {path}")
        window = (
            figure.canvas.required_interactive_framework or "interagg" in backend
        )  # the latter is PyCharm's
        if show and (window or "ipykernel" in sys.modules):
            pyplot.show()
        pyplot.close(figure)


def draw_results(save_path: Path, history: Sequence[dict]) -> None:
    """Draw every column of numbers over the epochs, those that end in loss on the left, the others on the right, and
    a line at the epoch that train.py has marked as the `best`."""
    columns = dict.fromkeys(
        key for row in history for key, value in row.items() if not isinstance(value, bool)
    )
    best = [epoch for epoch, row in enumerate(history, start=1) if row.get("best")]
    try:
        with new_figure(
            save_path.with_name(f"{save_path.stem}_results.png"), 10, 4, show=False
        ) as figure:
            for axes, title in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
                for column in (
                    column for column in columns if column.endswith("loss") == (title == "loss")
                ):
                    points = [
                        (epoch, row[column])
                        for epoch, row in enumerate(history, start=1)
                        if column in row
                    ]
                    axes.plot(*zip(*points, strict=True), marker="o", markersize=4, label=column)
                if best:
                    axes.axvline(
                        best[-1],
                        color="gray",
                        linewidth=1,
                        label=f"weights of epoch {best[-1]} are kept",
                    )
                axes.set(
                    title=title, xlabel="epoch", xlim=(0.5, len(history) + 0.5), ylim=(0, None)
                )
                axes.xaxis.get_major_locator().set_params(integer=True)
                axes.legend()
    except UserError as error:
        print(f"no picture of the results: {error}")


def draw_mistakes(
    save_path: Path, net: torch.nn.Module, loader: Iterable, names: Sequence[str]
) -> None:
    """Draw the eight wrong predictions that the net gives the highest probabilities, of the images in a loader."""
    device, mistakes = next(net.parameters()).device, []
    net.eval()
    with torch.no_grad():
        for images, labels in loader:
            probability, predicted = torch.softmax(net(images.to(device)).cpu(), dim=1).max(dim=1)
            wrong = (predicted != labels).nonzero().flatten().tolist()
            mistakes += [
                (float(probability[i]), int(predicted[i]), int(labels[i]), images[i]) for i in wrong
            ]
            mistakes = sorted(mistakes, key=lambda mistake: -mistake[0])[:8]
    with new_figure(save_path.with_name(f"{save_path.stem}_mistakes.png"), 11, 6.4) as figure:
        grid = figure.subplots(2, 4, subplot_kw={"frame_on": False, "xticks": [], "yticks": []})
        for axes, (probability, predicted, label, image) in zip(grid.flat, mistakes, strict=False):
            low, high = image.aminmax()  # of the normalised picture, to draw it in 0..1
            axes.imshow(((image - low) / (high - low)).permute(1, 2, 0).numpy())
            axes.set(title=f"predicted: {names[predicted]} {probability:.2f}\ntrue: {names[label]}")


def draw_predictions(
    path: Path, predictions: Sequence[tuple], names: Sequence[str], show: bool
) -> None:
    """Draw (picture, title, probabilities [num_classes]) side by side, of eight pictures and ten classes at most."""
    if not predictions:
        return
    with new_figure(path, 9, 3.6 * len(predictions[:8]), show) as figure:
        rows = figure.subplots(len(predictions[:8]), 2, squeeze=False)
        for (left, right), (image, title, probability) in zip(rows, predictions, strict=False):
            left.imshow(image)
            top = probability.topk(min(10, len(names)))
            left.set(
                title=f"{title}\n{names[top.indices[0]]} {top.values[0]:.3f}", xticks=[], yticks=[]
            )
            places = range(len(top.values), 0, -1)  # the most probable class on top
            right.bar_label(right.barh(places, top.values), fmt="%.3f", padding=3)
            right.set_yticks(places, [names[i] for i in top.indices])
            right.set(xlim=(0, 1.15), xlabel="probability")
