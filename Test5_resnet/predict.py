"""Predict the classes of images: python predict.py photo.jpg another.jpg folder_of_photos

Without a name, it takes an image of the validation set, chosen at random. Of a folder that holds
one folder per class, as a test set does, it also prints accuracy, precision, recall and F1.
"""

import torch
from torchvision import transforms

from helpers import (
    UserError,
    images_in,
    open_image,
    predict_parser,
    print_scores_of_folders,
    random_image,
    read_classes,
    read_weights,
    readable,
    run,
)
from model import resnets
from plots import draw_predictions

data_transform = transforms.Compose(
    [
        transforms.Resize(256),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ]
)


def main() -> None:
    parser = predict_parser(__doc__)
    parser.add_argument(
        "--model-name",
        choices=resnets,
        default="resnet34",
        help="which ResNet (default: %(default)s)",
    )
    args = parser.parse_args()
    device = torch.device(args.device)  # the accelerator that torch finds, else the CPU

    save_name = args.model_name.replace("resn", "resN")  # resnet34: resNet34, as in the lesson
    weights_path = args.weights or args.output_dir / f"{save_name}.pth"
    # class_indices.json, which lies beside them: {"0": "daisy", "1": "dandelion", ...}
    class_indict = read_classes(weights_path)
    net = resnets[args.model_name](num_classes=len(class_indict))  # resnet34(num_classes=5)
    net.load_state_dict(read_weights(weights_path))
    net.to(device)
    net.eval()  # batch norm takes the running mean and variance

    unreadable = []  # what cannot be read is named in the end
    if args.images:
        image_paths, note = images_in(args.images, unreadable), ""
    else:
        image_path, true_class = random_image(args.data_path / "val", class_indict)
        image_paths, note = [image_path], f"  true class: {true_class}"

    predictions = []
    predicted = {}  # the class of every image
    for image_path in readable(image_paths, unreadable):
        picture = open_image(image_path)  # Image.open, then turned upright and made RGB
        img = data_transform(picture)  # [3, 224, 224]
        img = torch.unsqueeze(img, dim=0)  # a batch of one: [1, 3, 224, 224]
        with torch.no_grad():
            output = torch.squeeze(net(img.to(device)), dim=0).cpu()  # [num_classes]
            predict = torch.softmax(output, dim=0)
            predict_cla = torch.argmax(predict).item()
        print(
            f"image: {image_path.name}  class: {class_indict[str(predict_cla)]}  "
            f"prob: {predict[predict_cla]:.3f}{note}"
        )
        for i in range(len(predict)):
            print(f"class: {class_indict[str(i)]:12} prob: {predict[i]:.3f}")
        predicted[image_path] = predict_cla
        if len(predictions) < 8:  # as many as the figure shows
            predictions.append((picture, image_path.name + note, predict))

    # of a test set, a folder with one folder per class: accuracy, precision, recall, F1
    print_scores_of_folders(args.images, predicted, list(class_indict.values()))

    figure_path = args.save or args.output_dir / f"{weights_path.stem}_prediction.png"
    draw_predictions(figure_path, predictions, list(class_indict.values()), show=not args.save)
    if unreadable:
        raise UserError("; ".join(unreadable))


if __name__ == "__main__":
    run(main)
