"""LeNet after PyTorch's own tutorial: 3 channels in, ReLU and max pooling.

It has 16 and 32 filters for the tutorial's 6 and 16.

LeCun, Bottou, Bengio, Haffner: Gradient-Based Learning Applied to Document Recognition, 1998.
"""

import torch
from torch import nn
from torch.nn import functional as F


class LeNet(nn.Module):
    """Two convolutions, each followed by max pooling, and three linear layers.

    For the ten classes of CIFAR-10.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, kernel_size=5)
        self.pool1 = nn.MaxPool2d(kernel_size=2, stride=2)
        self.conv2 = nn.Conv2d(16, 32, kernel_size=5)
        self.pool2 = nn.MaxPool2d(kernel_size=2, stride=2)
        self.fc1 = nn.Linear(32 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images [N, 3, 32, 32] to logits [N, 10].

        Raises:
            ValueError: the images are of another size.
        """
        if x.shape[1:] != (3, 32, 32):  # view would make another batch of another size
            raise ValueError(f"LeNet takes images [N, 3, 32, 32], not {list(x.shape)}")
        x = F.relu(self.conv1(x))  # [N, 16, 28, 28]
        x = self.pool1(x)  # [N, 16, 14, 14]
        x = F.relu(self.conv2(x))  # [N, 32, 10, 10]
        x = self.pool2(x)  # [N, 32, 5, 5]
        x = torch.flatten(x, start_dim=1)  # [N, 32 * 5 * 5]; x.view(-1, 32 * 5 * 5) does the same
        x = F.relu(self.fc1(x))  # [N, 120]
        x = F.relu(self.fc2(x))  # [N, 84]
        x = self.fc3(x)  # [N, 10]
        return x
