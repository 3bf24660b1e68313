"""Predict the classes of pictures: python predict.py plane.jpg another.jpg folder_of_pictures

Without a name, it takes a picture of CIFAR-10's test set, chosen at random.
"""

import random

import torch
from torchvision import transforms

from cifar10 import open_cifar10
from helpers import (
    HERE,
    UserError,
    find_images,
    load_weights,
    open_image,
    predict_parser,
    read_weights,
    run,
)
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


def main() -> None:
    parser = predict_parser(__doc__)
    parser.set_defaults(data_path=HERE / "data")
    args = parser.parse_args()

    weights_path = args.weights or args.output_dir / "Lenet.pth"
    net = LeNet()
    load_weights(net, read_weights(weights_path), weights_path)
    net.to(args.device).eval()

    images, true_class = find_images(*args.images), ""
    if not args.images:
        test_set = open_cifar10(args.data_path, train=False)
        index = random.randrange(len(test_set))
        img, label = test_set[index]
        images, true_class = [img], f"  true class: {classes[label]}"

    predictions, unreadable = [], []
    for image in images:
        try:
            img = open_image(image) if args.images else image
        except UserError as error:
            unreadable.append(str(error))
            continue
        name = image.name if args.images else f"test image {index}"
        im = torch.unsqueeze(transform(img), dim=0)  # [1, 3, 32, 32]
        with torch.no_grad():
            output = torch.squeeze(net(im.to(args.device)), dim=0).cpu()  # [10]
            predict = torch.softmax(output, dim=0)
        print(
            f"image: {name}  class: {classes[torch.argmax(predict)]}  prob: {predict.max():.3f}{true_class}"
        )
        for i, cla in enumerate(classes):
            print(f"class: {cla:12} prob: {predict[i]:.3f}")
        if len(predictions) < 8:  # as many as the figure shows
            predictions.append((img, name + true_class, predict))

    figure_path = args.save or args.output_dir / "Lenet_prediction.png"
    draw_predictions(figure_path, predictions, classes, show=not args.save)
    if unreadable:
        raise UserError("; ".join(unreadable))


if __name__ == "__main__":
    run(main)
