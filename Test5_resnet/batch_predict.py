"""Name what is on every image of a folder, many images at a time.

python batch_predict.py FOLDER --csv predictions.csv
"""

import argparse
import csv
from pathlib import Path

import utils  # first, because torch loads faster after it

import torch
from torch.utils.data import DataLoader
from torchvision import transforms

from model import models

HERE = Path(__file__).resolve().parent


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=utils.HelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder of images")
    parser.add_argument("--batch-size", type=utils.positive_int, default=8, help="images that the net sees at once")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write image, class and probability to this file too")
    parser.add_argument("--weights", type=Path, help="weights file (default: resNet34.pth in --output-dir)")
    parser.add_argument("--model-name", choices=models, default="resnet34", help="which of the ResNets")
    parser.add_argument("--output-dir", type=Path, default=HERE, help="folder that train.py wrote to")
    workers = utils.default_workers()
    parser.add_argument("--workers", type=utils.whole_number, default=workers, help="processes that load images")
    parser.add_argument("--device", type=utils.device, default=utils.default_device(), help="cpu, cuda:0, mps, ...")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    data_transform = transforms.Compose(
        [
            transforms.Resize(256),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )

    if not args.folder.is_dir():
        raise utils.UserError(f"no folder {args.folder}")
    if args.csv and args.csv.is_dir():
        raise utils.UserError(f"--csv names a folder, {args.csv}, and should name a file")
    image_paths = utils.find_images([args.folder])
    dataset = utils.ImageFiles(image_paths, data_transform)
    options = utils.loader_options(args.workers, args.device)
    loader = DataLoader(dataset, batch_size=args.batch_size, collate_fn=utils.stack_readable, **options)

    weights = args.weights or args.output_dir / f"{args.model_name.replace('resn', 'resN')}.pth"
    class_indict = utils.read_class_indices(weights)
    net = models[args.model_name](num_classes=len(class_indict))
    utils.load_weights(net, weights)
    net.to(args.device, memory_format=torch.channels_last).eval()

    rows, unreadable = [], []
    with torch.inference_mode():
        for paths, images, errors in loader:  # images: [as many as are readable of a batch, 3, 224, 224]
            unreadable += errors
            for error in errors:
                print(f"skipped: {error}")
            if not paths:
                continue
            output = net(images.to(args.device, memory_format=torch.channels_last, non_blocking=loader.pin_memory))
            probs, classes = torch.max(torch.softmax(output, dim=1), dim=1)
            for path, prob, cla in zip(paths, probs.tolist(), classes.tolist(), strict=True):
                print(f"image: {path.name}  class: {class_indict[str(cla)]}  prob: {prob:.3f}")
                rows.append((path.name, class_indict[str(cla)], f"{prob:.6f}"))

    if args.csv:

        def write(path: Path) -> None:
            with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
                csv.writer(file).writerows([("image", "class", "prob"), *rows])

        utils.write_atomically(args.csv, write)
    if unreadable:
        raise utils.UserError(f"{len(unreadable)} of {len(image_paths)} images could not be read: see the lines above")


if __name__ == "__main__":
    utils.run(main)
