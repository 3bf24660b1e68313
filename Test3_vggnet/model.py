"""VGG with 11, 13, 16 or 19 layers; its classifier is half as wide as the paper's.

Simonyan, Zisserman: Very Deep Convolutional Networks for Large-Scale Image Recognition,
arXiv 1409.1556.
"""

import torch
from torch import nn


class VGG(nn.Module):
    """Blocks of 3x3 convolutions, each block ended by a pooling, then three linear layers.

    Args:
        features: the convolutions, made by make_features: [N, 3, 224, 224] -> [N, 512, 7, 7]
        num_classes: how many classes there are
        init_weights: draw the first weights as the lesson does (Xavier); if not, as PyTorch does
        width: of the two hidden linear layers; the paper's is 4096
    """

    def __init__(
        self,
        features: nn.Sequential,
        num_classes: int = 1000,
        init_weights: bool = False,
        width: int = 2048,
    ):
        super().__init__()
        self.features = features
        self.classifier = nn.Sequential(
            nn.Dropout(p=0.5),
            nn.Linear(512 * 7 * 7, width),
            nn.ReLU(inplace=True),
            nn.Dropout(p=0.5),
            nn.Linear(width, width),
            nn.ReLU(inplace=True),
            nn.Linear(width, num_classes),
        )
        if init_weights:
            self._initialize_weights()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images [N, 3, 224, 224] to logits [N, num_classes]."""
        x = self.features(x)  # [N, 512, 7, 7]
        x = torch.flatten(x, start_dim=1)  # [N, 25088]
        x = self.classifier(x)  # [N, num_classes]
        return x

    def _initialize_weights(self) -> None:
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.xavier_uniform_(m.weight)
                if m.bias is not None:
                    nn.init.constant_(m.bias, 0)
            elif isinstance(m, nn.Linear):
                nn.init.xavier_uniform_(m.weight)
                nn.init.constant_(m.bias, 0)


# a number: the output channels of a 3x3 convolution; "M": a max pooling, half the height and width
# fmt: off
cfgs: dict[str, list[int | str]] = {
    "vgg11": [64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"],
    "vgg13": [64, 64, "M", 128, 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"],
    "vgg16": [64, 64, "M", 128, 128, "M", 256, 256, 256, "M",
              512, 512, 512, "M", 512, 512, 512, "M"],
    "vgg19": [64, 64, "M", 128, 128, "M", 256, 256, 256, 256, "M",
              512, 512, 512, 512, "M", 512, 512, 512, 512, "M"],
}
# fmt: on


def make_features(cfg: list[int | str]) -> nn.Sequential:
    """The convolutions that a list of `cfgs` describes."""
    layers: list[nn.Module] = []
    in_channels = 3
    for v in cfg:
        if v == "M":
            layers += [nn.MaxPool2d(kernel_size=2, stride=2)]
        else:
            conv2d = nn.Conv2d(in_channels, v, kernel_size=3, padding=1)
            layers += [conv2d, nn.ReLU(inplace=True)]
            in_channels = v
    return nn.Sequential(*layers)


def vgg(model_name: str = "vgg16", **kwargs: object) -> VGG:
    """Build one of the VGG nets; `kwargs` go to VGG.

    Raises:
        ValueError: there is no such net.
    """
    if model_name not in cfgs:
        raise ValueError(f"no VGG is named {model_name!r}: the names are {', '.join(cfgs)}")
    cfg = cfgs[model_name]
    model = VGG(make_features(cfg), **kwargs)
    return model


def lesson_weights(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A VGG's state_dict with the classifier's layers numbered as here, where Dropout comes first.

    torchvision, and the course's repository in its present form, have Linear, ReLU, Dropout.
    """
    if "classifier.0.weight" not in weights:
        return weights
    renamed = {}
    for name, value in weights.items():
        if name.startswith("classifier.0."):
            name = name.replace("classifier.0.", "classifier.1.")
        elif name.startswith("classifier.3."):
            name = name.replace("classifier.3.", "classifier.4.")
        renamed[name] = value
    return renamed


def classifier_width(weights: dict[str, torch.Tensor]) -> int:
    """The width of the hidden linear layers of a VGG's state_dict, such as the lesson's 2048."""
    return len(weights["classifier.1.bias"]) if "classifier.1.bias" in weights else 2048
