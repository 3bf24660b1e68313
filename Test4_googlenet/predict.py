"""Predict the classes of images: python predict.py photo.jpg another.jpg folder_of_photos

Without a name, it takes an image of the validation set, chosen at random.
"""

import random

import torch
from torchvision import transforms

from helpers import (
    UserError,
    find_images,
    load_weights,
    open_image,
    predict_parser,
    read_classes,
    read_weights,
    run,
)
from model import GoogLeNet
from plots import draw_predictions

data_transform = transforms.Compose(
    [
        transforms.Resize((224, 224)),
        transforms.ToTensor(),
        transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    ]
)


def main() -> None:
    args = predict_parser(__doc__).parse_args()

    weights_path = args.weights or args.output_dir / "googleNet.pth"
    weights = read_weights(weights_path)
    class_indict = read_classes(weights_path)  # {"0": "daisy", "1": "dandelion", ...}
    net = GoogLeNet(num_classes=len(class_indict), aux_logits=False)
    load_weights(
        net, weights, weights_path, leave_out=("aux1.", "aux2.")
    )  # the heads, which only training needs
    net.to(args.device).eval()

    image_paths, true_class = find_images(*args.images), ""
    if not args.images:
        val_path = args.data_path / "val"
        true_classes = {path: path.relative_to(val_path).parts[0] for path in find_images(val_path)}
        if {*true_classes.values()} != {*class_indict.values()}:
            raise UserError(f"{val_path} is of other classes than {weights_path}: name an image")
        image_paths = random.sample(list(true_classes), 1)
        true_class = f"  true class: {true_classes[image_paths[0]]}"

    predictions, unreadable = [], []
    for image_path in image_paths:
        try:
            img = open_image(image_path)
        except UserError as error:
            unreadable.append(str(error))
            continue
        batch = torch.unsqueeze(data_transform(img), dim=0)  # [1, 3, 224, 224]
        with torch.no_grad():
            output = torch.squeeze(net(batch.to(args.device)), dim=0).cpu()  # [num_classes]
            predict = torch.softmax(output, dim=0)
        predict_cla = class_indict[str(torch.argmax(predict).item())]
        print(
            f"image: {image_path.name}  class: {predict_cla}  prob: {predict.max():.3f}{true_class}"
        )
        for i, name in enumerate(class_indict.values()):
            print(f"class: {name:12} prob: {predict[i]:.3f}")
        if len(predictions) < 8:  # as many as the figure shows
            predictions.append((img, image_path.name + true_class, predict))

    figure_path = args.save or args.output_dir / "googleNet_prediction.png"
    draw_predictions(figure_path, predictions, list(class_indict.values()), show=not args.save)
    if unreadable:
        raise UserError("; ".join(unreadable))


if __name__ == "__main__":
    run(main)
