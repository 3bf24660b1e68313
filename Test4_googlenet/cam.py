"""Draw what a trained net looks at: python cam.py photo.jpg another.jpg folder_of_photos

Class activation maps (Zhou et al. 2016, https://arxiv.org/abs/1512.04150), for the most probable
class and the second. Without a name, it takes an image of the validation set, chosen at random.
"""

from pathlib import Path

import torch
from PIL import Image
from torch import nn

from helpers import (
    UserError,
    images_in,
    open_image,
    predict_parser,
    random_image,
    read_classes,
    read_weights,
    readable,
    run,
)
from model import GoogLeNet
from plots import new_figure, printable
from predict import data_transform


def class_activation_maps(maps: torch.Tensor, fc: nn.Linear) -> torch.Tensor:
    """How much each place in the picture speaks for each class.

    The net takes the mean of each feature map, and fc adds these means up with its weights. Adding
    the maps up with the same weights first, and then taking the mean, gives the same number; before
    the mean is taken, one sees which places it comes from.

    Args:
        maps: what comes into the average pooling: [C, H, W]
        fc: the linear layer after it: weight [num_classes, C]

    Returns:
        [num_classes, H, W]; the mean over H and W, plus fc.bias, is the logit of the class
    """
    return torch.einsum("kc,chw->khw", fc.weight, maps)


def as_seen(img: torch.Tensor) -> Image.Image:
    """The picture [3, H, W] that the net sees: its darkest value black, its brightest white."""
    low, high = img.aminmax()
    img = (img - low) / (high - low).clamp(min=1e-6) * 255
    return Image.fromarray(img.to(torch.uint8).permute(1, 2, 0).numpy())


def draw(path: Path, rows: list[tuple], show: bool) -> None:
    """Draw a row for each image: (picture, title, names of two classes, their two maps)."""
    with new_figure(path, 9.5, 3.3 * len(rows), show) as figure:
        grid = figure.subplots(len(rows), 3, squeeze=False)
        for axes, (picture, title, names, maps) in zip(grid, rows, strict=True):
            axes[0].imshow(picture)
            axes[0].set_title(printable(title))
            limit = maps.abs().max()  # the same colours for both classes
            for place, name, one in zip(axes[1:], names, maps, strict=True):
                place.imshow(picture.convert("L"), cmap="gray")
                colors = place.imshow(
                    one.numpy(),
                    cmap="RdBu_r",
                    vmin=-limit,
                    vmax=limit,
                    alpha=0.55,
                    interpolation="bilinear",
                    extent=(0, picture.width, picture.height, 0),
                )
                place.set_title(printable(name))
            for place in axes:
                place.set(xticks=[], yticks=[])
            figure.colorbar(colors, ax=list(axes), shrink=0.8, label="against      for the class")


def main() -> None:
    args = predict_parser(__doc__).parse_args()
    device = torch.device(args.device)

    weights_path = args.weights or args.output_dir / "googleNet.pth"
    class_indict = read_classes(weights_path)  # {"0": "daisy", "1": "dandelion", ...}
    net = GoogLeNet(num_classes=len(class_indict), aux_logits=False)
    weights = read_weights(weights_path)
    for name in list(weights):
        if name.startswith(("aux1.", "aux2.")):  # the heads, which only training needs
            del weights[name]
    net.load_state_dict(weights)
    net.to(device)
    net.eval()  # dropout, between the pooling and fc, is off

    if not isinstance(net.fc, nn.Linear):
        raise UserError("the maps need a net that ends in avgpool and fc, one nn.Linear")

    maps_of = {}

    def keep_maps(layer: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        maps_of["avgpool"] = inputs[0][0]  # of the first image in the batch: [1024, 7, 7]

    net.avgpool.register_forward_hook(keep_maps)  # called whenever the layer has computed

    unreadable = []  # what cannot be read is named in the end
    image_paths = images_in(args.images, unreadable)
    if not args.images:
        image_paths = [random_image(args.data_path / "val", class_indict)[0]]
    rows = []
    for image_path in readable(image_paths, unreadable):
        img = data_transform(open_image(image_path))  # [3, 224, 224]
        with torch.no_grad():
            output = torch.squeeze(net(torch.unsqueeze(img, dim=0).to(device)), dim=0)
            maps = class_activation_maps(maps_of["avgpool"], net.fc)  # [num_classes, 7, 7]
            means = maps.mean(dim=(1, 2))
            bias = torch.zeros_like(means) if net.fc.bias is None else net.fc.bias
        if not torch.allclose(means + bias, output, rtol=1e-3, atol=1e-3):
            raise UserError("the maps need a net that ends in average pooling and fc alone")
        predict = torch.softmax(output, dim=0)
        best = torch.topk(predict, k=2).indices.tolist()  # the most probable class, and the second
        print(f"image: {image_path.name}")
        titles = []
        for i in best:
            name = class_indict[str(i)]
            titles.append(f"{name} {predict[i]:.3f}")
            print(
                f"class: {name:12} prob: {predict[i]:.3f}  logit: {output[i]:.3f} = "
                f"{means[i]:.3f} (mean of its map) {bias[i]:+.3f} (bias)"
            )
        if len(rows) < 8:  # as many as the figure shows
            rows.append((as_seen(img), image_path.name, titles, maps[best].cpu()))

    if rows:
        path = args.save or args.output_dir / f"{weights_path.stem}_cam.png"
        draw(path, rows, show=not args.save)
    if unreadable:
        raise UserError("; ".join(unreadable))


if __name__ == "__main__":
    run(main)
