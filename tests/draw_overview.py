"""Draw the picture of the project's first page: a prediction, and four nets on ImageNet.

    python data_set/split_data.py --demo
    python Test2_alexnet/train.py
    python tests/draw_overview.py FLOWER.jpg        # writes overview.png

FLOWER.jpg is a drawn flower, of data_set/flower_data/val. On the right are accuracy, multiply-adds
and parameters as torchvision states them for its weights; nothing is fetched.
"""

import argparse
import math
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image
from torchvision import models

PREDICT = Path(__file__).resolve().parent.parent / "Test2_alexnet" / "predict.py"
WEIGHTS = {
    "AlexNet": models.AlexNet_Weights.IMAGENET1K_V1,
    "VGG16": models.VGG16_Weights.IMAGENET1K_V1,
    "GoogLeNet": models.GoogLeNet_Weights.IMAGENET1K_V1,
    "ResNet34": models.ResNet34_Weights.IMAGENET1K_V1,
}
COLORS = {"AlexNet": "#0072b2", "VGG16": "#d55e00", "GoogLeNet": "#009e73", "ResNet34": "#cc79a7"}


def predict(image_path: Path, weights_path: Path | None) -> dict[str, float]:
    """What Test2's predict.py prints: the probability of each class.

    Raises:
        SystemExit: predict.py has ended with an error, which it has printed.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, PREDICT, image_path, "--save", Path(folder) / "figure.png"]
        if weights_path:
            command += ["--weights", weights_path]
        result = subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8")
    if result.returncode:
        sys.exit(result.returncode)
    found = re.findall(r"^class: (.+?) +prob: ([\d.]+)$", result.stdout, flags=re.MULTILINE)
    return {name: float(probability) for name, probability in found}


def draw(path: Path, picture: Image.Image, predicted: dict[str, float]) -> None:
    """Left the picture and the bars of its probabilities, right the four nets."""
    figure = Figure(figsize=(8.3, 3.4), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(2.4, 2.2, 3.7))

    left.imshow(picture)
    best = max(predicted, key=predicted.get)
    left.set(title=f"{best} {predicted[best]:.3f}", xticks=[], yticks=[])
    places = range(len(predicted), 0, -1)
    bars = middle.barh(places, list(predicted.values()), color="#0072b2")
    middle.bar_label(bars, fmt="%.3f", padding=3, fontsize=9)
    middle.set_yticks(places, list(predicted))
    middle.set(title="python predict.py", xlim=(0, 1.35), xticks=(0, 0.5, 1), xlabel="probability")

    for name, weights in WEIGHTS.items():
        top1 = weights.meta["_metrics"]["ImageNet-1K"]["acc@1"]
        work = weights.meta["_ops"]  # 10^9 multiply-adds
        parameters = weights.meta["num_params"] / 1e6
        area = 8 * parameters  # in points squared
        right.scatter(work, top1, s=area, color=COLORS[name], alpha=0.6)
        aside = 5 + (area / math.pi) ** 0.5  # past the circle's edge
        below = work > 10  # there is no room on the right
        right.annotate(
            f"{name}, {parameters:.1f} M",
            (work, top1),
            xytext=(0, -aside) if below else (aside, 0),
            textcoords="offset points",
            ha="center" if below else "left",
            va="top" if below else "center",
            fontsize=9,
        )
    right.set(
        title="four nets on ImageNet\n(area: parameters, in millions)",
        xlabel="multiply-adds for one picture, in billions",
        ylabel="top-1 accuracy, %",
        xlim=(-2, 20),
        ylim=(50, 77),
    )
    right.grid(alpha=0.3)
    figure.savefig(path, dpi=100)
    print(f"drawn in {path}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("image", type=Path, help="a drawn flower")
    parser.add_argument("--weights", type=Path, help="AlexNet's (default: Test2's AlexNet.pth)")
    parser.add_argument(
        "--save", type=Path, default=Path("overview.png"), help="file (default: %(default)s)"
    )
    args = parser.parse_args()
    predicted = predict(args.image, args.weights)
    draw(args.save, Image.open(args.image), predicted)


if __name__ == "__main__":
    main()
