"""Predict the classes of pictures: python predict.py plane.jpg another.jpg folder_of_pictures

Without a name, it takes a picture of CIFAR-10's test set, chosen at random. Of a folder that holds
one folder per class (plane, car ...), it also prints accuracy, precision, recall and F1.
"""

import torch
from torchvision import transforms

from cifar10 import random_test_image
from helpers import (
    HERE,
    UserError,
    images_in,
    open_image,
    predict_parser,
    print_scores_of_folders,
    read_weights,
    readable,
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
    device = torch.device(args.device)  # the accelerator that torch finds, else the CPU

    weights_path = args.weights or args.output_dir / "Lenet.pth"
    net = LeNet()
    net.load_state_dict(read_weights(weights_path))
    net.to(device)
    net.eval()

    unreadable = []  # what cannot be read is named in the end
    if args.images:
        image_paths, note = images_in(args.images, unreadable), ""
    else:
        image_path, number, label = random_test_image(args.data_path, args.output_dir)
        image_paths, note = [image_path], f"  true class: {classes[label]} (test image {number})"

    predictions = []
    predicted = {}  # the class of every image
    for image_path in readable(image_paths, unreadable):
        picture = open_image(image_path)  # Image.open, then turned upright and made RGB
        im = transform(picture)  # [3, 32, 32]
        im = torch.unsqueeze(im, dim=0)  # a batch of one: [1, 3, 32, 32]
        with torch.no_grad():
            outputs = torch.squeeze(net(im.to(device)), dim=0).cpu()  # [10]
            predict = torch.softmax(outputs, dim=0)
            predict_cla = torch.argmax(predict).item()
        print(
            f"image: {image_path.name}  class: {classes[predict_cla]}  "
            f"prob: {predict[predict_cla]:.3f}{note}"
        )
        for i in range(len(predict)):
            print(f"class: {classes[i]:12} prob: {predict[i]:.3f}")
        predicted[image_path] = predict_cla
        if len(predictions) < 8:  # as many as the figure shows
            predictions.append((picture, image_path.name + note, predict))

    # of a test set, a folder with one folder per class: accuracy, precision, recall, F1
    print_scores_of_folders(args.images, predicted, list(classes))

    figure_path = args.save or args.output_dir / f"{weights_path.stem}_prediction.png"
    draw_predictions(figure_path, predictions, classes, show=not args.save)
    if unreadable:
        raise UserError("; ".join(unreadable))


if __name__ == "__main__":
    run(main)
