"""Predict the class of every image in a folder, many at a time: python batch_predict.py FOLDER --csv predictions.csv

Where FOLDER holds one folder per class, as a test set does, it also prints the accuracy, and precision and recall of
each class, and draws the confusion matrix.
"""

import csv
import io
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from helpers import (
    Parser,
    UserError,
    find_images,
    load_weights,
    open_image,
    read_classes,
    read_weights,
    run,
    save,
)
from model import models
from plots import new_figure

normalize = transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
data_transform = transforms.Compose(
    [transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(), normalize]
)


class ImageFiles(Dataset):
    """Image files without labels. An item is (path, picture [3, 224, 224]), or (path, what is wrong with the file)."""

    def __init__(self, paths: list[Path]):
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Path, torch.Tensor | str]:
        try:
            return self.paths[index], data_transform(open_image(self.paths[index]))
        except UserError as error:
            return self.paths[index], str(error)


def draw_confusion(path: Path, confusion: torch.Tensor, names: list[str]) -> None:
    """Draw a confusion matrix [true class, predicted class]; with names and numbers for up to 20 classes."""
    with new_figure(path, 7, 6) as figure:
        axes = figure.subplots()
        share = confusion / confusion.sum(dim=1, keepdim=True).clamp(min=1)
        axes.imshow(share.numpy(), cmap="Blues", vmin=0, vmax=1)
        axes.set(title="number of images", xlabel="predicted class", ylabel="true class")
        if len(names) <= 20:
            axes.set_xticks(
                range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor"
            )
            axes.set_yticks(range(len(names)), names)
            for i, j in confusion.nonzero().tolist():
                color = "white" if share[i, j] > 0.5 else "black"
                axes.text(j, i, int(confusion[i, j]), ha="center", va="center", color=color)


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder of images")
    parser.add_argument(
        "--model-name",
        choices=models,
        default="resnet34",
        help="which ResNet (default: %(default)s)",
    )
    parser.add_argument(
        "--weights", type=Path, help="weights file (default: the one that train.py wrote)"
    )
    parser.add_argument(
        "--csv",
        type=Path,
        metavar="FILE",
        help="write image, class and probability to this file too",
    )
    parser.add("--batch-size", 8, "images that the net sees at once")
    parser.add("--workers", 0, "number of processes that load images")
    parser.add_argument(
        "--amp", action="store_true", help="compute in bfloat16 where that is safe (autocast)"
    )
    args = parser.parse_args()

    weights_path = (
        args.weights or args.output_dir / f"{args.model_name.replace('resn', 'resN')}.pth"
    )
    weights = read_weights(weights_path)
    names = list(read_classes(weights_path).values())
    net = models[args.model_name](num_classes=len(names))
    load_weights(net, weights, weights_path)
    net.to(args.device).eval()

    image_paths = find_images(args.folder)
    loader = DataLoader(
        ImageFiles(image_paths),
        batch_size=args.batch_size,
        num_workers=args.workers,
        collate_fn=list,
    )  # a list of items, since a file that cannot be read gives no picture
    rows, unreadable = [], []
    for items in loader:
        unreadable += [wrong for _, wrong in items if isinstance(wrong, str)]
        items = [(path, image) for path, image in items if not isinstance(image, str)]
        if not items:
            continue
        images = torch.stack([image for _, image in items])  # [N, 3, 224, 224]
        with torch.no_grad(), torch.autocast(args.device.type, torch.bfloat16, enabled=args.amp):
            output = net(images.to(args.device)).float().cpu()  # [N, num_classes]
        probs, classes = torch.max(torch.softmax(output, dim=1), dim=1)
        for (path, _), prob, cla in zip(items, probs.tolist(), classes.tolist(), strict=True):
            print(f"image: {path.name}  class: {names[cla]}  prob: {prob:.3f}")
            rows.append((path, cla, prob))

    if args.csv:
        text = io.StringIO()
        table = [
            (path.relative_to(args.folder).as_posix(), names[cla], f"{prob:.6f}")
            for path, cla, prob in rows
        ]
        csv.writer(text).writerows([("image", "class", "prob"), *table])
        save(
            "\ufeff" + text.getvalue(), args.csv
        )  # Excel takes a CSV file for UTF-8 if it begins with this mark

    folders = [path.relative_to(args.folder).parts[0] for path, _, _ in rows]
    if rows and set(folders) <= set(names):
        confusion = torch.zeros(len(names), len(names))
        for folder, (_, cla, _) in zip(folders, rows, strict=True):
            confusion[names.index(folder), cla] += 1
        right = confusion.diag()
        precision, recall = (
            right / confusion.sum(dim=0),
            right / confusion.sum(dim=1),
        )  # NaN where nothing is counted
        for i, name in enumerate(names):
            print(f"class: {name:12} precision: {precision[i]:.3f}  recall: {recall[i]:.3f}")
        print(f"accuracy: {right.sum() / len(rows):.3f} of {len(rows)} images")
        draw_confusion(args.output_dir / f"{weights_path.stem}_confusion.png", confusion, names)
    if unreadable:
        raise UserError("; ".join(unreadable))


if __name__ == "__main__":
    run(main)
