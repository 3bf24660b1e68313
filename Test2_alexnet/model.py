"""AlexNet with half the channels of the paper's net everywhere, and so a quarter of its parameters.

Krizhevsky, Sutskever, Hinton: ImageNet Classification with Deep Convolutional Neural Networks,
2012.
"""

import torch
from torch import nn


class AlexNet(nn.Module):
    """Five convolutions find features, three linear layers tell the classes apart.

    Args:
        num_classes: how many classes there are
        init_weights: draw the first weights as the lesson does; if not, as PyTorch does
    """

    def __init__(self, num_classes: int = 1000, init_weights: bool = False):
        super().__init__()
        self.features = nn.Sequential(
            # [N, 3, 224, 224]
            nn.Conv2d(3, 48, kernel_size=11, stride=4, padding=2),  # [N, 48, 55, 55]
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),  # [N, 48, 27, 27]
            nn.Conv2d(48, 128, kernel_size=5, padding=2),  # [N, 128, 27, 27]
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),  # [N, 128, 13, 13]
            nn.Conv2d(128, 192, kernel_size=3, padding=1),  # [N, 192, 13, 13]
            nn.ReLU(inplace=True),
            nn.Conv2d(192, 192, kernel_size=3, padding=1),  # [N, 192, 13, 13]
            nn.ReLU(inplace=True),
            nn.Conv2d(192, 128, kernel_size=3, padding=1),  # [N, 128, 13, 13]
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),  # [N, 128, 6, 6]
        )
        self.classifier = nn.Sequential(
            nn.Dropout(p=0.5),
            nn.Linear(128 * 6 * 6, 2048),
            nn.ReLU(inplace=True),
            nn.Dropout(p=0.5),
            nn.Linear(2048, 2048),
            nn.ReLU(inplace=True),
            nn.Linear(2048, num_classes),
        )
        if init_weights:
            self._initialize_weights()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images [N, 3, 224, 224] to logits [N, num_classes]."""
        x = self.features(x)  # [N, 128, 6, 6]
        x = torch.flatten(x, start_dim=1)  # [N, 4608]
        x = self.classifier(x)  # [N, num_classes]
        return x

    def _initialize_weights(self) -> None:
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
                if m.bias is not None:
                    nn.init.constant_(m.bias, 0)
            elif isinstance(m, nn.Linear):
                nn.init.normal_(m.weight, mean=0, std=0.01)
                nn.init.constant_(m.bias, 0)
