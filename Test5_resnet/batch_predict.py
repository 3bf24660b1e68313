"""Predict the class of every image in a folder, many at a time.

    python batch_predict.py FOLDER --csv predictions.csv

Where FOLDER holds one folder per class, as a test set does, it also prints the accuracy, and
precision and recall of each class, and draws the confusion matrix.
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
    open_image,
    positive_number,
    read_classes,
    read_weights,
    run,
    save,
    whole_number,
)
from model import resnets
from plots import new_figure, printable

data_transform = transforms.Compose(
    [
        transforms.Resize(256),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ]
)


class ImageFiles(Dataset):
    """Image files without labels.

    An item is (path, picture [3, 224, 224], ""), or (path, None, what is wrong with the file).
    """

    def __init__(self, paths: list[Path]):
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Path, torch.Tensor | None, str]:
        path = self.paths[index]
        try:
            return path, data_transform(open_image(path)), ""
        except UserError as error:
            return path, None, str(error)


def draw_confusion(path: Path, confusion: torch.Tensor, names: list[str]) -> None:
    """Draw a confusion matrix [true class, predicted class]; with numbers for up to 20 classes."""
    names = [printable(name) for name in names]
    with new_figure(path, 7, 6) as figure:
        axes = figure.subplots()
        share = confusion / confusion.sum(dim=1, keepdim=True).clamp(min=1)
        axes.imshow(share.numpy(), cmap="Blues", vmin=0, vmax=1)
        axes.set(title="number of images", xlabel="predicted class", ylabel="true class")
        if len(names) <= 20:
            places = range(len(names))
            axes.set_xticks(places, names, rotation=45, ha="right", rotation_mode="anchor")
            axes.set_yticks(places, names)
            for i, j in confusion.nonzero().tolist():
                color = "white" if share[i, j] > 0.5 else "black"
                axes.text(j, i, int(confusion[i, j]), ha="center", va="center", color=color)


def true_classes(paths: list[Path], folder: Path, names: list[str]) -> list[str]:
    """The class that each image's folder names, where the folders in `folder` are classes.

    An empty list if none is a class; if only some are, a line names what does not fit.
    """
    found = []
    for path in paths:
        parts = path.relative_to(folder).parts
        found.append(parts[0] if len(parts) > 1 else "")
    if not set(found) & set(names):
        folders = sorted(set(found) - {""})
        if folders:
            print(f"no accuracy: {folder} holds no folder of a class of the net, but {folders[0]}")
        return []
    for path, name in zip(paths, found, strict=True):
        if name not in names:
            what = f"{name} is no class" if name else f"{path.name} lies in no class folder"
            print(f"no accuracy: {what}; the net's classes are {', '.join(names[:20])}")
            return []
    return found


def print_scores(confusion: torch.Tensor, names: list[str]) -> None:
    """Print each class's precision and recall, nan where nothing is counted, and the accuracy."""
    right = confusion.diag()
    precision = right / confusion.sum(dim=0)
    recall = right / confusion.sum(dim=1)
    for i, name in enumerate(names):
        print(f"class: {name:12} precision: {precision[i]:.3f}  recall: {recall[i]:.3f}")
    images = int(confusion.sum())
    print(f"accuracy: {right.sum() / images:.3f} of {images} images")


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument(
        "folder", type=Path, metavar="FOLDER", help="folder of images, or one image"
    )
    parser.add_argument(
        "--model-name",
        choices=resnets,
        default="resnet34",
        help="which ResNet (default: %(default)s)",
    )
    parser.add_argument(
        "--weights", type=Path, help="weights file (default: the one that train.py wrote)"
    )
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="write image, class and probability to it too"
    )
    parser.add_argument(
        "--batch-size",
        type=positive_number,
        default=8,
        help="images that the net sees at once (default: %(default)s)",
    )
    parser.add_argument(
        "--workers",
        type=whole_number,
        default=0,
        help="number of processes that load images (default: %(default)s)",
    )
    parser.add_argument(
        "--amp", action="store_true", help="compute in bfloat16 where that is safe (autocast)"
    )
    args = parser.parse_args()
    device = torch.device(args.device)  # the accelerator that torch finds, else the CPU

    folder = args.folder
    if folder.is_dir():
        image_paths = find_images(folder)
    elif folder.exists():
        folder, image_paths = folder.parent, [folder]
    else:
        raise UserError(f"no folder {folder}, and no image")

    weights_path = args.weights
    if not weights_path:
        weights_path = args.output_dir / f"{args.model_name.replace('resn', 'resN')}.pth"
    class_indict = read_classes(weights_path)  # {"0": "daisy", "1": "dandelion", ...}
    names = list(class_indict.values())
    net = resnets[args.model_name](num_classes=len(names))
    net.load_state_dict(read_weights(weights_path))
    net.to(device)
    net.eval()

    loader = DataLoader(
        ImageFiles(image_paths),
        batch_size=args.batch_size,
        num_workers=args.workers,
        collate_fn=list,  # a list of items, since a file that cannot be read gives no picture
    )
    rows, unreadable = [], []
    for items in loader:
        unreadable += [wrong for _, _, wrong in items if wrong]
        items = [(path, image) for path, image, wrong in items if not wrong]
        if not items:
            continue
        images = torch.stack([image for _, image in items])  # [N, 3, 224, 224]
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=args.amp):
            output = net(images.to(device)).float().cpu()  # [N, num_classes]
        probs, classes = torch.max(torch.softmax(output, dim=1), dim=1)
        for (path, _), prob, cla in zip(items, probs.tolist(), classes.tolist(), strict=True):
            print(f"image: {path.name}  class: {names[cla]}  prob: {prob:.3f}")
            rows.append((path, cla, prob))

    if args.csv:
        text = io.StringIO()
        table = csv.writer(text)
        table.writerow(("image", "class", "prob"))
        for path, cla, prob in rows:
            table.writerow((path.relative_to(folder).as_posix(), names[cla], f"{prob:.6f}"))
        save("\ufeff" + text.getvalue(), args.csv)  # by this mark Excel takes it for UTF-8

    if args.folder.is_dir():
        true_names = true_classes([path for path, _, _ in rows], folder, names)
        if true_names:
            confusion = torch.zeros(len(names), len(names))
            for true_name, (_, cla, _) in zip(true_names, rows, strict=True):
                confusion[names.index(true_name), cla] += 1
            print_scores(confusion, names)
            path = args.output_dir / f"{weights_path.stem}_confusion.png"
            draw_confusion(path, confusion, names)
    if unreadable:
        raise UserError("; ".join(unreadable))


if __name__ == "__main__":
    run(main)
