"""Name what is on a picture, one of CIFAR-10's ten classes, with the weights that train.py has saved.

python predict.py plane.jpg another.jpg folder_of_pictures
python predict.py                   # a picture of the test set, chosen at random
"""

import argparse
import random
from pathlib import Path

import utils  # first, because torch loads faster after it

import torch
from torchvision import transforms

from model import LeNet

HERE = Path(__file__).resolve().parent


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=utils.HelpFormatter)
    parser.add_argument("images", type=Path, nargs="*", metavar="IMAGE", help="image files, or folders of them")
    parser.add_argument("--data-path", type=Path, default=HERE / "data", help="CIFAR-10, if no image is named")
    parser.add_argument("--weights", type=Path, help="weights file (default: Lenet.pth in --output-dir)")
    parser.add_argument("--output-dir", type=Path, default=HERE, help="folder that train.py wrote to")
    parser.add_argument("--device", type=utils.device, default=utils.default_device(), help="cpu, cuda:0, mps, ...")
    parser.add_argument("--save", type=utils.figure, metavar="FIGURE", help="file for the figure, not to be shown")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    transform = transforms.Compose(
        [
            transforms.Resize((32, 32)),
            transforms.ToTensor(),
            transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ]
    )
    classes = ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

    net = LeNet()
    utils.load_weights(net, args.weights or args.output_dir / "Lenet.pth")
    net.to(args.device).eval()

    if args.images:
        images = [(path.name, path, "") for path in utils.find_images(args.images)]
    else:
        test_set = utils.open_cifar10(args.data_path, train=False)
        index = random.randrange(len(test_set))
        img, label = test_set[index]
        images = [(f"test image {index}", img, f"  (true class: {classes[label]})")]

    predictions = []
    for name, source, true_class in images:
        img = utils.open_image(source) if isinstance(source, Path) else source
        im = torch.unsqueeze(transform(img), dim=0)  # [1, 3, 32, 32]
        with torch.inference_mode():
            output = net(im.to(args.device)).cpu()  # [1, 10]
            predict = torch.softmax(output[0], dim=0)  # [10]
        predict_cla = classes[int(torch.argmax(predict))]

        print(f"image: {name}  class: {predict_cla}{true_class}")
        for i, cla in enumerate(classes):
            print(f"class: {cla:<12} prob: {predict[i]:.3f}")
        predictions.append((source, f"{name}\n{predict_cla}{true_class}", predict))

    figure_path = args.output_dir / "Lenet_prediction.png"
    utils.draw_predictions(predictions, classes, args.save, figure_path)


if __name__ == "__main__":
    utils.run(main)
