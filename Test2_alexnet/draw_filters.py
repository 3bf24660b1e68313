"""Draw the filters of the first convolution, which read the picture itself, and what they learned.

python draw_filters.py                          # those of AlexNet.pth; writes filters.png
python draw_filters.py --other Lenet.pth        # and below them another net's

A filter has a kernel for red, one for green and one for blue, and is drawn as a small picture of
these colours. Grey is a weight of 0; the largest weight of each filter is drawn as the full colour
if it is positive, and as none of it if it is negative. Beside the weights stands how training has
changed them: the first weights, which train.py draws with its --seed, are subtracted. It also
prints correlations: near 0 where two rows of numbers have nothing to do with each other, and 1
where they rise and fall together.
"""

import argparse
import math
from pathlib import Path

import torch

from helpers import HERE, UserError, manual_seed, read_weights, run, whole_number
from model import AlexNet
from plots import new_figure

ALL_COLUMNS = 16  # of filters, in the picture


def first_convolution(weights: dict[str, torch.Tensor], path: Path) -> torch.Tensor:
    """The weights [filters, 3, height, width] of a net's first convolution.

    Raises:
        UserError: the weights, which are those of the file `path`, begin otherwise.
    """
    for name, weight in weights.items():
        if weight.ndim == 4:
            if weight.shape[1] != 3:
                shape = " x ".join(map(str, weight.shape))
                raise UserError(
                    f"{path}: {name} is {shape}, and only filters with 3 channels, one for each "
                    "colour, can be drawn"
                )
            return weight.detach().float().clone()
    raise UserError(f"{path} holds no convolution")


def describe(filters: torch.Tensor) -> str:
    """How many filters there are, and how large they are."""
    count, channels, height, width = filters.shape
    return f"{count} filters, {height} x {width} x {channels}"


def correlation(one: torch.Tensor, other: torch.Tensor) -> float:
    """1 if the numbers of two tensors rise and fall together, near 0 if they are independent."""
    return torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1].item()


def montage(filters: torch.Tensor, columns: int) -> torch.Tensor:
    """All filters in one picture [height, width, 3], row by row, with white lines between."""
    count, _, height, width = filters.shape
    rows = math.ceil(count / columns)
    picture = torch.ones(rows * (height + 1) - 1, columns * (width + 1) - 1, 3)
    for i in range(count):
        top, left = i // columns * (height + 1), i % columns * (width + 1)
        largest = filters[i].abs().max().clamp(min=1e-12)
        colors = 0.5 + filters[i] / (2 * largest)  # 0.5, grey, is a weight of 0
        picture[top : top + height, left : left + width] = colors.permute(1, 2, 0)
    return picture


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--weights",
        type=Path,
        default=HERE / "AlexNet.pth",
        help="weights file of this lesson's net (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=whole_number,
        default=0,
        help="the --seed of the training that it comes from (default: %(default)s)",
    )
    parser.add_argument(
        "--other",
        type=Path,
        help="another net's weights file, such as ../Test1_official_demo/Lenet.pth (default: none)",
    )
    parser.add_argument(
        "--save", type=Path, default=HERE / "filters.png", help="file (default: %(default)s)"
    )
    args = parser.parse_args()

    weights_path = args.weights
    weights = read_weights(weights_path)
    num_classes = len(weights.get("classifier.6.bias", [0]))
    manual_seed(args.seed)  # as in train.py
    net = AlexNet(num_classes=num_classes, init_weights=True)
    first = first_convolution(net.state_dict(), weights_path)
    net.load_state_dict(weights)  # an error, if the file is another net's
    learned = first_convolution(net.state_dict(), weights_path)

    panels = [(f"{weights_path.name}: {describe(learned)}", learned)]
    alike = correlation(first, learned)
    if alike > 0.05:
        print(f"correlation of the first weights and the learned ones: {alike:.2f}")
        panels.append(("the same minus the first weights", learned - first))
    else:
        print(
            f"these weights did not begin as those of seed {args.seed}: with the training's "
            "--seed, what has changed is drawn too"
        )
    columns = [ALL_COLUMNS // len(panels)] * len(panels)
    heights = [math.ceil(len(learned) / columns[0])]  # of the rows of the figure, in filters
    if args.other:
        filters = first_convolution(read_weights(args.other), args.other)
        panels.append((f"{args.other.name}: {describe(filters)}", filters))
        columns.append(ALL_COLUMNS)
        heights.append(math.ceil(len(filters) / ALL_COLUMNS))
    for title, filters in panels:
        neighbours = correlation(filters[..., 1:], filters[..., :-1])
        print(f"{title}: correlation of neighbouring weights {neighbours:.2f}")

    with new_figure(args.save, 8.2, 0.5 * sum(heights) + 0.3 * len(heights)) as figure:
        figure.get_layout_engine().set(wspace=0.3)
        grid = figure.add_gridspec(len(heights), ALL_COLUMNS, height_ratios=heights)
        row, left = 0, 0
        for (title, filters), across in zip(panels, columns, strict=True):
            axes = figure.add_subplot(grid[row, left : left + across])
            axes.imshow(montage(filters, across).numpy(), interpolation="nearest")
            axes.set_title(title, fontsize=11)
            axes.axis("off")
            left += across
            if left == ALL_COLUMNS:  # the row is full
                row, left = row + 1, 0


if __name__ == "__main__":
    run(main)
