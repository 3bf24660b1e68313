"""Predict the classes of pictures: python predict.py plane.jpg another.jpg folder_of_pictures

Without a name, it takes a picture of CIFAR-10's test set, chosen at random.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import torch
from PIL import Image
from torchvision import datasets, transforms

from cifar10 import fetch_cifar10
from helpers import HERE, open_images, predict_parser, read_weights, run
from model import LeNet
from plots import draw_predictions

transform = transforms.Compose(
    [
        transforms.Resize((32, 32)),
        transforms.ToTensor(),
        transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    ]
)
classes = ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def test_image(data_path: Path) -> Iterator[tuple[Path, Image.Image, str]]:
    """One picture of CIFAR-10's test set, as open_images gives those in files."""
    fetch_cifar10(data_path)
    test_set = datasets.CIFAR10(data_path, train=False)
    index = random.randrange(len(test_set))
    im, label = test_set[index]
    yield Path(f"test image {index}"), im, f"  true class: {classes[label]}"


def main() -> None:
    parser = predict_parser(__doc__)
    parser.set_defaults(data_path=HERE / "data")
    args = parser.parse_args()
    device = torch.device(args.device)  # the accelerator that torch finds, else the CPU

    weights_path = args.weights or args.output_dir / "Lenet.pth"
    net = LeNet()
    net.load_state_dict(read_weights(weights_path))
    net.to(device)
    net.eval()

    predictions = []
    images = open_images(args.images) if args.images else test_image(args.data_path)
    for image_path, im, true_class in images:
        image = transform(im)  # [3, 32, 32]
        image = torch.unsqueeze(image, dim=0)  # a batch of one: [1, 3, 32, 32]
        with torch.no_grad():
            outputs = torch.squeeze(net(image.to(device)), dim=0).cpu()  # [10]
            predict = torch.softmax(outputs, dim=0)
            predict_cla = torch.argmax(predict).item()
        print(
            f"image: {image_path.name}  class: {classes[predict_cla]}  "
            f"prob: {predict[predict_cla]:.3f}{true_class}"
        )
        for i in range(len(predict)):
            print(f"class: {classes[i]:12} prob: {predict[i]:.3f}")
        if len(predictions) < 8:  # as many as the figure shows
            predictions.append((im, image_path.name + true_class, predict))

    figure_path = args.save or args.output_dir / "Lenet_prediction.png"
    draw_predictions(figure_path, predictions, classes, show=not args.save)


if __name__ == "__main__":
    run(main)
