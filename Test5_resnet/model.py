"""ResNet 18, 34, 50, 101 and 152, and two ResNeXts.

Names and shapes are torchvision's: its weights load as they are.

He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition, arXiv 1512.03385.
Xie et al.: Aggregated Residual Transformations for Deep Neural Networks, arXiv 1611.05431
(ResNeXt).
"""

import torch
from torch import nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, and the input added to their output: the block of ResNet 18 and 34.

    Args:
        in_channel, out_channel: channels of input and output
        stride: of the first convolution; 2 halves height and width
        downsample: makes the shortcut fit where the shape changes (the dashed lines of the paper's
            figure 3)
    """

    expansion = 1  # the output has expansion * out_channel channels

    def __init__(
        self,
        in_channel: int,
        out_channel: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
    ):
        super().__init__()
        self.conv1 = nn.Conv2d(
            in_channel, out_channel, kernel_size=3, stride=stride, padding=1, bias=False
        )
        self.bn1 = nn.BatchNorm2d(out_channel)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(out_channel, out_channel, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channel)
        self.downsample = downsample

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, in_channel, H, W] to [N, out_channel, H / stride, W / stride]."""
        identity = x
        if self.downsample is not None:
            identity = self.downsample(x)  # the dashed shortcut

        out = self.conv1(x)
        out = self.bn1(out)
        out = self.relu(out)

        out = self.conv2(out)
        out = self.bn2(out)

        out += identity
        out = self.relu(out)
        return out


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions, and the input added to their output.

    The block of ResNet 50 and deeper. The 1x1 convolutions cut the channels that the 3x3 one works
    on and widen them again. The stride is on the 3x3 convolution, as in torchvision; the paper has
    it on the first 1x1, which skips three quarters of the input.

    Args:
        in_channel: channels of the input
        out_channel: a quarter of the output's channels
        stride, downsample: as in BasicBlock
        groups, width_per_group: ResNeXt's: the 3x3 convolution works in `groups` separate groups,
            each of width_per_group * out_channel / 64 channels
    """

    expansion = 4  # the output has expansion * out_channel channels

    def __init__(
        self,
        in_channel: int,
        out_channel: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        groups: int = 1,
        width_per_group: int = 64,
    ):
        super().__init__()
        width = out_channel * width_per_group // 64 * groups  # out_channel itself, but in ResNeXt
        self.conv1 = nn.Conv2d(in_channel, width, kernel_size=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(
            width, width, kernel_size=3, stride=stride, padding=1, groups=groups, bias=False
        )
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channel * self.expansion, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channel * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, in_channel, H, W] to [N, 4 * out_channel, H / stride, W / stride]."""
        identity = x
        if self.downsample is not None:
            identity = self.downsample(x)  # the dashed shortcut

        out = self.conv1(x)
        out = self.bn1(out)
        out = self.relu(out)

        out = self.conv2(out)
        out = self.bn2(out)
        out = self.relu(out)

        out = self.conv3(out)
        out = self.bn3(out)

        out += identity
        out = self.relu(out)
        return out


class ResNet(nn.Module):
    """A stem, four layers of residual blocks, and a linear classifier.

    Args:
        block: BasicBlock or Bottleneck
        blocks_num: how many blocks each of the four layers has
        num_classes: how many classes there are
        include_top: if False, stop before the pooling and give features [N, 512 * expansion, 7, 7]
        block_options: more arguments for every block: ResNeXt's groups and width_per_group
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        blocks_num: list[int],
        num_classes: int = 1000,
        include_top: bool = True,
        **block_options: int,
    ):
        super().__init__()
        self.include_top = include_top
        self.in_channel = 64

        self.conv1 = nn.Conv2d(3, self.in_channel, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(self.in_channel)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = self._make_layer(block, 64, blocks_num[0], stride=1, **block_options)
        self.layer2 = self._make_layer(block, 128, blocks_num[1], stride=2, **block_options)
        self.layer3 = self._make_layer(block, 256, blocks_num[2], stride=2, **block_options)
        self.layer4 = self._make_layer(block, 512, blocks_num[3], stride=2, **block_options)
        if self.include_top:
            self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
            self.fc = nn.Linear(512 * block.expansion, num_classes)

        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")

    def _make_layer(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        channel: int,
        block_num: int,
        stride: int = 1,
        **options: int,
    ) -> nn.Sequential:
        downsample = None
        if stride != 1 or self.in_channel != channel * block.expansion:
            downsample = nn.Sequential(
                nn.Conv2d(
                    self.in_channel,
                    channel * block.expansion,
                    kernel_size=1,
                    stride=stride,
                    bias=False,
                ),
                nn.BatchNorm2d(channel * block.expansion),
            )
        layers = []
        layers.append(
            block(self.in_channel, channel, stride=stride, downsample=downsample, **options)
        )
        self.in_channel = channel * block.expansion
        for _ in range(1, block_num):
            layers.append(block(self.in_channel, channel, **options))
        return nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images [N, 3, 224, 224] to logits [N, num_classes]."""
        x = self.conv1(x)  # [N, 64, 112, 112]
        x = self.bn1(x)
        x = self.relu(x)
        x = self.maxpool(x)  # [N, 64, 56, 56]

        # with Bottleneck, four times these channels
        x = self.layer1(x)  # [N, 64, 56, 56]
        x = self.layer2(x)  # [N, 128, 28, 28]
        x = self.layer3(x)  # [N, 256, 14, 14]
        x = self.layer4(x)  # [N, 512, 7, 7]

        if self.include_top:
            x = self.avgpool(x)  # [N, 512, 1, 1]
            x = torch.flatten(x, start_dim=1)  # [N, 512]
            x = self.fc(x)  # [N, num_classes]
        return x


def resnet18(num_classes: int = 1000, include_top: bool = True) -> ResNet:
    """ResNet18, of the paper's table 1."""
    return ResNet(BasicBlock, [2, 2, 2, 2], num_classes, include_top)


def resnet34(num_classes: int = 1000, include_top: bool = True) -> ResNet:
    """ResNet34, of the paper's table 1: the lesson's."""
    return ResNet(BasicBlock, [3, 4, 6, 3], num_classes, include_top)


def resnet50(num_classes: int = 1000, include_top: bool = True) -> ResNet:
    """ResNet50, of the paper's table 1: as many blocks as ResNet34, of three convolutions each."""
    return ResNet(Bottleneck, [3, 4, 6, 3], num_classes, include_top)


def resnet101(num_classes: int = 1000, include_top: bool = True) -> ResNet:
    """ResNet101, of the paper's table 1."""
    return ResNet(Bottleneck, [3, 4, 23, 3], num_classes, include_top)


def resnet152(num_classes: int = 1000, include_top: bool = True) -> ResNet:
    """ResNet152, of the paper's table 1."""
    return ResNet(Bottleneck, [3, 8, 36, 3], num_classes, include_top)


def resnext50_32x4d(num_classes: int = 1000, include_top: bool = True) -> ResNet:
    """ResNeXt50: ResNet50 with 32 groups, of 4 channels each in layer1."""
    return ResNet(Bottleneck, [3, 4, 6, 3], num_classes, include_top, groups=32, width_per_group=4)


def resnext101_32x8d(num_classes: int = 1000, include_top: bool = True) -> ResNet:
    """ResNeXt101: ResNet101 with 32 groups, of 8 channels each in layer1."""
    return ResNet(Bottleneck, [3, 4, 23, 3], num_classes, include_top, groups=32, width_per_group=8)


resnets = {
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet50": resnet50,
    "resnet101": resnet101,
    "resnet152": resnet152,
    "resnext50_32x4d": resnext50_32x4d,
    "resnext101_32x8d": resnext101_32x8d,
}
