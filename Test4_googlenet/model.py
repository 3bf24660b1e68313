"""GoogLeNet, as the paper has it: without batch norm, with two auxiliary classifiers.

Szegedy et al.: Going Deeper with Convolutions, arXiv 1409.4842.
"""

import torch
from torch import nn
from torch.nn import functional as F


class GoogLeNet(nn.Module):
    """Nine Inception blocks, 22 layers deep.

    Args:
        num_classes: how many classes there are
        aux_logits: build the two auxiliary classifiers, which only training needs
        init_weights: draw the first weights as the lesson does; if not, as PyTorch does
    """

    def __init__(
        self, num_classes: int = 1000, aux_logits: bool = True, init_weights: bool = False
    ):
        super().__init__()
        self.aux_logits = aux_logits

        self.conv1 = BasicConv2d(3, 64, kernel_size=7, stride=2, padding=3)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.conv2 = BasicConv2d(64, 64, kernel_size=1)
        self.conv3 = BasicConv2d(64, 192, kernel_size=3, padding=1)
        self.maxpool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)

        self.inception3a = Inception(192, 64, 96, 128, 16, 32, 32)
        self.inception3b = Inception(256, 128, 128, 192, 32, 96, 64)
        self.maxpool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)

        self.inception4a = Inception(480, 192, 96, 208, 16, 48, 64)
        self.inception4b = Inception(512, 160, 112, 224, 24, 64, 64)
        self.inception4c = Inception(512, 128, 128, 256, 24, 64, 64)
        self.inception4d = Inception(512, 112, 144, 288, 32, 64, 64)
        self.inception4e = Inception(528, 256, 160, 320, 32, 128, 128)
        self.maxpool4 = nn.MaxPool2d(3, stride=2, ceil_mode=True)

        self.inception5a = Inception(832, 256, 160, 320, 32, 128, 128)
        self.inception5b = Inception(832, 384, 192, 384, 48, 128, 128)

        if self.aux_logits:
            self.aux1 = InceptionAux(512, num_classes)
            self.aux2 = InceptionAux(528, num_classes)

        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout = nn.Dropout(p=0.4)
        self.fc = nn.Linear(1024, num_classes)
        if init_weights:
            self._initialize_weights()

    def forward(
        self, x: torch.Tensor
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Images [N, 3, 224, 224] to logits [N, num_classes].

        In training, with aux_logits, to three such tensors: (logits, aux2, aux1).
        """
        x = self.conv1(x)  # [N, 64, 112, 112]
        x = self.maxpool1(x)  # [N, 64, 56, 56]
        x = self.conv2(x)  # [N, 64, 56, 56]
        x = self.conv3(x)  # [N, 192, 56, 56]
        x = self.maxpool2(x)  # [N, 192, 28, 28]

        x = self.inception3a(x)  # [N, 256, 28, 28]
        x = self.inception3b(x)  # [N, 480, 28, 28]
        x = self.maxpool3(x)  # [N, 480, 14, 14]
        x = self.inception4a(x)  # [N, 512, 14, 14]
        if self.training and self.aux_logits:  # not in eval()
            aux1 = self.aux1(x)  # [N, num_classes]

        x = self.inception4b(x)  # [N, 512, 14, 14]
        x = self.inception4c(x)  # [N, 512, 14, 14]
        x = self.inception4d(x)  # [N, 528, 14, 14]
        if self.training and self.aux_logits:
            aux2 = self.aux2(x)  # [N, num_classes]

        x = self.inception4e(x)  # [N, 832, 14, 14]
        x = self.maxpool4(x)  # [N, 832, 7, 7]
        x = self.inception5a(x)  # [N, 832, 7, 7]
        x = self.inception5b(x)  # [N, 1024, 7, 7]

        x = self.avgpool(x)  # [N, 1024, 1, 1]
        x = torch.flatten(x, start_dim=1)  # [N, 1024]
        x = self.dropout(x)
        x = self.fc(x)  # [N, num_classes]
        if self.training and self.aux_logits:
            return x, aux2, aux1
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


class Inception(nn.Module):
    """Four branches over the same input, side by side: 1x1, 3x3, 5x5 and pooling.

    Their channels are stacked. The 1x1 convolutions before the 3x3 and the 5x5 (`red` for reduce)
    cut the channels that these have to read.

    Args:
        in_channels: channels of the input
        ch1x1: output channels of branch 1
        ch3x3red, ch3x3: channels of branch 2 after its 1x1 and after its 3x3 convolution
        ch5x5red, ch5x5: channels of branch 3 after its 1x1 and after its 5x5 convolution
        pool_proj: output channels of branch 4
    """

    def __init__(
        self,
        in_channels: int,
        ch1x1: int,
        ch3x3red: int,
        ch3x3: int,
        ch5x5red: int,
        ch5x5: int,
        pool_proj: int,
    ):
        super().__init__()
        self.branch1 = BasicConv2d(in_channels, ch1x1, kernel_size=1)
        self.branch2 = nn.Sequential(
            BasicConv2d(in_channels, ch3x3red, kernel_size=1),
            BasicConv2d(ch3x3red, ch3x3, kernel_size=3, padding=1),
        )
        self.branch3 = nn.Sequential(
            BasicConv2d(in_channels, ch5x5red, kernel_size=1),
            BasicConv2d(ch5x5red, ch5x5, kernel_size=5, padding=2),
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(kernel_size=3, stride=1, padding=1),
            BasicConv2d(in_channels, pool_proj, kernel_size=1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, in_channels, H, W] to [N, ch1x1 + ch3x3 + ch5x5 + pool_proj, H, W]."""
        branch1 = self.branch1(x)
        branch2 = self.branch2(x)
        branch3 = self.branch3(x)
        branch4 = self.branch4(x)
        outputs = [branch1, branch2, branch3, branch4]
        return torch.cat(outputs, dim=1)  # side by side, by channel


class InceptionAux(nn.Module):
    """An auxiliary classifier: its loss sends a gradient into the middle of the net."""

    def __init__(self, in_channels: int, num_classes: int):
        super().__init__()
        self.averagePool = nn.AvgPool2d(kernel_size=5, stride=3)
        self.conv = BasicConv2d(in_channels, 128, kernel_size=1)
        self.fc1 = nn.Linear(128 * 4 * 4, 1024)
        self.fc2 = nn.Linear(1024, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, in_channels, 14, 14] to logits [N, num_classes]."""
        x = self.averagePool(x)  # [N, in_channels, 4, 4]
        x = self.conv(x)  # [N, 128, 4, 4]
        x = torch.flatten(x, start_dim=1)  # [N, 2048]
        x = F.dropout(x, p=0.5, training=self.training)
        x = F.relu(self.fc1(x))  # [N, 1024]
        x = F.dropout(x, p=0.5, training=self.training)
        x = self.fc2(x)  # [N, num_classes]
        return x


class BasicConv2d(nn.Module):
    """A convolution and its ReLU; `kwargs` go to nn.Conv2d."""

    def __init__(self, in_channels: int, out_channels: int, **kwargs: int):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, **kwargs)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, in_channels, H, W] to [N, out_channels, H', W'], by kernel, stride and padding."""
        x = self.conv(x)
        x = self.relu(x)
        return x
