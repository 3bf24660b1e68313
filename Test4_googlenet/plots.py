"""The pictures of what happened. The same file stands in all five folders."""

import math
import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from PIL import Image

from helpers import UserError, confusion_matrix, save

# fonts with Chinese letters, as matplotlib names them: on Windows, macOS and Linux
CHINESE_FONTS = [
    "Microsoft YaHei",
    "SimHei",
    "PingFang SC",
    "PingFang HK",
    "Heiti TC",
    "Arial Unicode MS",
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
]


def import_matplotlib() -> None:
    """Import matplotlib, which is done only where something is drawn: data workers draw nothing.

    Its import fails where MPLBACKEND names what is not there, as in a notebook whose `!python` is
    that of another environment.
    """
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib  # noqa: F401
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend


@contextmanager
def plain_style() -> Iterator[None]:
    """matplotlib's own style, not the user's, which may need LaTeX; with a font for Chinese names.

    Letters that no font has are counted in one line at the end.
    """
    import_matplotlib()
    from matplotlib import font_manager, style

    known = set(font_manager.get_font_names())
    fonts = ["DejaVu Sans", *(font for font in CHINESE_FONTS if font in known)]
    settings = {"font.family": fonts, "text.parse_math": False}
    with style.context(["default", settings]), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    missing = set()
    for warning in caught:
        if "missing from" in str(warning.message):
            missing.add(str(warning.message))
        else:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
    if missing:
        print(f"{len(missing)} letters are drawn as boxes: no font here has them")


def printable(text: str) -> str:
    """The text, with escapes for what is not Unicode, as in a file name of another encoding."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


@contextmanager
def new_figure(path: Path, width: float, height: float, show: bool = True) -> Iterator:
    """A figure of that size in inches to draw on. Then it is written to `path`.

    With `show` it is shown as well, if there is a screen.
    """
    import_matplotlib()
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    size = {"figsize": (width, height), "layout": "constrained"}
    with plain_style(), rc_context({"savefig.bbox": "tight"}):
        if not show:  # without pyplot, which looks for a screen
            figure = Figure(**size)
            yield figure
            save(figure, path)
            print(f"drawn in {path}")
            return

        from matplotlib import pyplot

        backend = os.environ.get("MPLBACKEND", "")
        try:
            backend = backend or pyplot.get_backend()
            pyplot.switch_backend(backend)
            figure = pyplot.figure(**size)
        except Exception:  # not there, or too old, or Tk without its files: it fails in any way
            backend = "agg"
            pyplot.switch_backend(backend)
            figure = pyplot.figure(**size)
        yield figure
        save(figure, path)
        print(f"drawn in {path}")
        window = figure.canvas.required_interactive_framework
        if window or "interagg" in backend or "ipykernel" in sys.modules:
            show_figure(wait=bool(window))
        pyplot.close(figure)


def show_figure(wait: bool) -> None:
    """Show the open figure. It has been written, so that nothing is lost if that fails."""
    from matplotlib import pyplot

    if wait:
        print("close the window to go on", flush=True)
    try:
        pyplot.show()
    except Exception as error:  # an editor's backend, in any way
        print(f"the picture cannot be shown here: {error!r}")


def draw_results(save_path: str | Path, history: Sequence[dict]) -> None:
    """Draw the columns of `history` over the epochs, and a line at the last epoch marked `best`.

    Losses share a panel, and so do accuracies; every other column of numbers has its own.
    """
    import_matplotlib()
    from matplotlib.figure import Figure  # not pyplot, which is slow, and looks for a screen

    save_path = Path(save_path)
    panels: dict[str, list[str]] = {"loss": [], "accuracy": []}
    columns: list[str] = []
    for row in history:
        columns += [name for name in row if name not in columns]
    for column in columns:
        if any(as_number(row.get(column)) is not None for row in history):
            panels.setdefault(panel_of(column), []).append(column)
    best = [epoch for epoch, row in enumerate(history, start=1) if row.get("best")]
    panels = {title: names for title, names in panels.items() if names}
    if not panels:
        return

    across = min(3, len(panels))
    rows = math.ceil(len(panels) / across)
    with plain_style():
        # margins by hand: to compute them, as in the other pictures, takes a second an epoch
        figure = Figure(figsize=(5 * across, 4 * rows))
        figure.subplots_adjust(0.06, 0.13 / rows, 0.98, 1 - 0.1 / rows, hspace=0.35)
        for number, (title, names) in enumerate(panels.items(), start=1):
            axes = figure.add_subplot(rows, across, number)
            for name in names:
                epochs, values = [], []
                for epoch, row in enumerate(history, start=1):
                    value = as_number(row.get(name))
                    if value is not None:
                        epochs.append(epoch)
                        values.append(value)
                axes.plot(epochs, values, marker="o", markersize=4, label=name)
            if best:
                label = f"weights of epoch {best[-1]} are kept"
                axes.axvline(best[-1], color="gray", linewidth=1, label=label)
            axes.set(title=title, xlabel="epoch", xlim=(0.5, len(history) + 0.5))
            axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
            axes.xaxis.get_major_locator().set_params(integer=True)
            if axes.get_legend_handles_labels()[0]:
                axes.legend()
        try:
            save(figure, save_path.with_name(f"{save_path.stem}_results.png"))
        except UserError as error:
            print(f"no picture of the results: {error}")


def as_number(value: object) -> float | None:
    """The number to draw for a value in the history; None if it is not one."""
    if hasattr(value, "tolist"):  # a tensor, or numpy's
        value = value.tolist()
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) else None


def panel_of(column: str) -> str:
    """The panel that a column of the history is drawn in."""
    if column.endswith("loss"):
        return "loss"
    if column.endswith(("accuracy", "acc", "precision", "recall", "f1")):
        return "accuracy"
    return column


def draw_validation(
    save_path: str | Path,
    net: torch.nn.Module,
    loader: Iterable,
    names: Mapping[int, str] | Sequence[str],
) -> None:
    """Draw what a net makes of the validation set: its mistakes, and the confusion matrix.

    Args:
        loader: batches of images, labels; what else is in a batch is passed over
        names: of the classes, by their numbers
    """
    save_path = Path(save_path)
    device = next(net.parameters()).device
    names = [printable(names[i]) for i in range(len(names))]
    mistakes: list[tuple[float, int, int, torch.Tensor]] = []
    all_labels, all_predicted = [], []
    net.eval()
    with torch.no_grad():
        for images, labels, *_ in loader:
            probabilities = torch.softmax(net(images.to(device)).float().cpu(), dim=1)
            probability, predicted = probabilities.max(dim=1)
            labels = labels.cpu()
            all_labels.append(labels)
            all_predicted.append(predicted)
            for i in (predicted != labels).nonzero().flatten().tolist():
                image = images[i].cpu()
                mistakes.append((float(probability[i]), int(predicted[i]), int(labels[i]), image))
            mistakes.sort(key=lambda mistake: mistake[0], reverse=True)
            del mistakes[8:]
    names += [str(i) for i in range(len(names), probabilities.shape[1])]  # of outputs to spare
    # not shown: a training that waits for a window does not end
    draw_mistakes(save_path.with_name(f"{save_path.stem}_mistakes.png"), mistakes, names)
    confusion = confusion_matrix(torch.cat(all_labels), torch.cat(all_predicted), len(names))
    path = save_path.with_name(f"{save_path.stem}_confusion.png")
    draw_confusion(path, confusion, names, show=False)


def draw_mistakes(
    path: Path, mistakes: Sequence[tuple[float, int, int, torch.Tensor]], names: Sequence[str]
) -> None:
    """Draw wrong predictions, at most eight: (probability, predicted class, true class, image)."""
    with new_figure(path, 11, 6.4, show=False) as figure:
        if not mistakes:
            axes = figure.add_subplot(frame_on=False, xticks=[], yticks=[])
            axes.set_title("no image is predicted wrong")
        for number, (probability, predicted, label, image) in enumerate(mistakes, start=1):
            low, high = image.aminmax()  # of the normalised picture, to draw it in 0..1
            axes = figure.add_subplot(2, 4, number, frame_on=False, xticks=[], yticks=[])
            span = (high - low).clamp(min=1e-6)  # 0 in an image of one colour
            axes.imshow(((image - low) / span).permute(1, 2, 0).numpy())
            axes.set_title(f"predicted: {names[predicted]} {probability:.2f}\ntrue: {names[label]}")


def draw_confusion(path: Path, confusion: torch.Tensor, names: Sequence[str], show: bool) -> None:
    """Draw a confusion matrix [true class, predicted class], with the recall of each class.

    The number of images stands in each field for up to 20 classes; of more, some are named.
    """
    names = [printable(name) for name in names]
    of_class = confusion.sum(dim=1, keepdim=True)
    share = confusion / of_class.clamp(min=1)
    rows = []
    for i, name in enumerate(names):
        rows.append(f"{name}  {share[i, i]:.2f}" if of_class[i] else name)
    side = min(max(5.0, 2 + 0.7 * len(names)), 12.0)  # inches
    with new_figure(path, side + 1, side, show) as figure:
        axes = figure.subplots()
        axes.imshow(share.numpy(), cmap="Blues", vmin=0, vmax=1)
        axes.set(
            title="number of images" if len(names) <= 20 else "share of each class's images",
            xlabel="predicted class",
            ylabel="true class, and its recall",
        )
        places = range(0, len(names), math.ceil(len(names) / 30))
        axes.set_xticks(
            places, [names[i] for i in places], rotation=45, ha="right", rotation_mode="anchor"
        )
        axes.set_yticks(places, [rows[i] for i in places])
        if len(names) <= 20:
            for i, j in confusion.nonzero().tolist():
                color = "white" if share[i, j] > 0.5 else "black"
                axes.text(j, i, int(confusion[i, j]), ha="center", va="center", color=color)


def draw_predictions(
    path: Path,
    predictions: Sequence[tuple[Image.Image, str, torch.Tensor]],
    names: Sequence[str],
    show: bool,
) -> None:
    """Draw pictures, and beside each the bars of its ten largest probabilities.

    Args:
        predictions: (picture, title, probabilities [num_classes]); eight are drawn at most
        names: of the classes, by their numbers
    """
    if not predictions:
        return
    predictions = predictions[:8]
    names = [printable(name) for name in names]
    with new_figure(path, 9, 3.6 * len(predictions), show) as figure:
        rows = figure.subplots(len(predictions), 2, squeeze=False)
        for (left, right), (image, title, predict) in zip(rows, predictions, strict=True):
            top = predict.topk(min(10, len(names)))
            left.imshow(image)
            best = f"{names[top.indices[0]]} {top.values[0]:.3f}"
            left.set(title=f"{printable(title)}\n{best}", xticks=[], yticks=[])
            places = range(len(top.values), 0, -1)  # the most probable class on top
            bars = right.barh(places, top.values.tolist())
            right.bar_label(bars, fmt="%.3f", padding=3)
            right.set_yticks(places, [names[i] for i in top.indices])
            right.set(xlim=(0, 1.15), xlabel="probability")
