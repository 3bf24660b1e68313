"""Name what is on a photo, with the weights that train.py has saved.

python predict.py photo.jpg another.jpg folder_of_photos
python predict.py                   # a photo of the validation set, chosen at random
"""

import argparse
import random
from pathlib import Path

import utils  # first, because torch loads faster after it

import torch
from torchvision import transforms

from model import models

HERE = Path(__file__).resolve().parent


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=utils.HelpFormatter)
    data_path = HERE.parent / "data_set" / "flower_data"
    parser.add_argument("images", type=Path, nargs="*", metavar="IMAGE", help="image files, or folders of them")
    parser.add_argument("--data-path", type=Path, default=data_path, help="where an image comes from if none is named")
    parser.add_argument("--weights", type=Path, help="weights file (default: resNet34.pth in --output-dir)")
    parser.add_argument("--model-name", choices=models, default="resnet34", help="which of the ResNets")
    parser.add_argument("--output-dir", type=Path, default=HERE, help="folder that train.py wrote to")
    parser.add_argument("--device", type=utils.device, default=utils.default_device(), help="cpu, cuda:0, mps, ...")
    parser.add_argument("--save", type=utils.figure, metavar="FIGURE", help="file for the figure, not to be shown")
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

    net_name = args.model_name.replace("resn", "resN")
    weights = args.weights or args.output_dir / f"{net_name}.pth"
    class_indict = utils.read_class_indices(weights)
    net = models[args.model_name](num_classes=len(class_indict))
    utils.load_weights(net, weights)
    net.to(args.device).eval()

    if args.images:
        image_paths, true_class = utils.find_images(args.images), ""
    else:
        validate_dataset = utils.ImageFolder(args.data_path / "val", data_transform)
        image_path, label = random.choice(validate_dataset.samples)
        image_paths, true_class = [Path(image_path)], f"  (true class: {validate_dataset.classes[label]})"

    predictions = []
    for image_path in image_paths:
        img = utils.open_image(image_path)
        batch = torch.unsqueeze(data_transform(img), dim=0)  # [1, 3, 224, 224]
        with torch.inference_mode():
            output = net(batch.to(args.device)).cpu()  # [1, num_classes]
            predict = torch.softmax(output[0], dim=0)  # [num_classes]
        predict_cla = class_indict[str(int(torch.argmax(predict)))]

        print(f"image: {image_path}{true_class}")
        for i, name in enumerate(class_indict.values()):
            print(f"class: {name:<12} prob: {predict[i]:.3f}")
        predictions.append((image_path, f"{image_path.name}\n{predict_cla}{true_class}", predict))

    figure_path = args.output_dir / f"{net_name}_prediction.png"
    utils.draw_predictions(predictions, list(class_indict.values()), args.save, figure_path)


if __name__ == "__main__":
    utils.run(main)
