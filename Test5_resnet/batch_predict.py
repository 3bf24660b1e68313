"""Predict the class of every image in a folder, many at a time.

    python batch_predict.py FOLDER --csv predictions.csv

Where FOLDER holds one folder per class, as a test set does, it also prints the accuracy, and
precision, recall and F1 of each class, and draws the confusion matrix.
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
    confusion_matrix,
    find_images,
    open_image,
    positive_number,
    print_scores,
    read_classes,
    read_weights,
    run,
    save,
    true_classes,
    whole_number,
)
from model import resnets
from plots import draw_confusion

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

    true_names = []
    if args.folder.is_dir():
        true_names = true_classes([path for path, _, _ in rows], folder, names)

    if args.csv:
        text = io.StringIO()
        table = csv.writer(text)
        columns = ["image", "class", "prob"]
        table.writerow([*columns, "true"] if true_names else columns)
        for number, (path, cla, prob) in enumerate(rows):
            row = [path.relative_to(folder).as_posix(), names[cla], f"{prob:.6f}"]
            if true_names:
                row.append(true_names[number])
            table.writerow(row)
        save("\ufeff" + text.getvalue(), args.csv)  # by this mark Excel takes it for UTF-8

    if true_names:
        labels = torch.tensor([names.index(name) for name in true_names])
        predicted = torch.tensor([cla for _, cla, _ in rows])
        confusion = confusion_matrix(labels, predicted, len(names))
        print_scores(confusion, names)
        # train.py draws that of the validation set as resNet34_confusion.png
        path = args.output_dir / f"{weights_path.stem}_{folder.resolve().name}_confusion.png"
        draw_confusion(path, confusion, names, show=True)
    if unreadable:
        raise UserError("; ".join(unreadable))


if __name__ == "__main__":
    run(main)
