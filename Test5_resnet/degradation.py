"""Measure what the residual block mends: plain nets of 20 and of 56 layers on CIFAR-10, and the same with shortcuts.

python degradation.py --data-path ../Test1_official_demo/data       # writes degradation.png

The nets are those of the paper's section 4.2: 3x3 convolutions with 16, 32 and 64 channels, batch norm, and global
average pooling. All start in the same way. Compared is the training loss: a deeper net that has the larger training
loss has not overfitted, it is harder to train. The gradient's size in the first layer, which lies the furthest from the
loss, shows whether gradients vanish.
"""

import argparse
import time
from pathlib import Path

import torch
from torch import nn, optim
from torch.nn import functional as F
from torchvision import datasets

from helpers import HERE, UserError, run
from model import BasicBlock
from plots import new_figure


class PlainBlock(BasicBlock):
    """A BasicBlock without its shortcut."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, in_channel, H, W] to [N, out_channel, H / stride, W / stride]."""
        out = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(out)))


def make_net(block: type[BasicBlock], layers: int) -> nn.Sequential:
    """A net of 6n + 2 layers for images [N, 3, 32, 32]. Shortcuts that change the shape are 1x1 convolutions."""
    modules: list[nn.Module] = [
        nn.Conv2d(3, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(inplace=True),
    ]
    in_channel = 16
    for channel in (16, 32, 64):
        for _ in range((layers - 2) // 6):
            stride, downsample = 1, None
            if (
                channel != in_channel
            ):  # the first block of 32 and of 64 channels halves height and width
                stride = 2
                if block is BasicBlock:
                    conv = nn.Conv2d(in_channel, channel, kernel_size=1, stride=2, bias=False)
                    downsample = nn.Sequential(conv, nn.BatchNorm2d(channel))
            modules.append(block(in_channel, channel, stride, downsample))
            in_channel = channel
    net = nn.Sequential(*modules, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    for m in net.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
    return net


def train(
    net: nn.Sequential, images: torch.Tensor, labels: torch.Tensor, epochs: int
) -> tuple[list[float], float]:
    """Train with SGD, momentum 0.9 and a learning rate that falls from 0.05 to 0 along a cosine.

    Returns:
        the mean loss of each epoch, and the mean size of the first convolution's gradient in the first epoch
    """
    device = images.device
    net.to(device, memory_format=torch.channels_last).train()
    optimizer = optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=0.0001)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    losses, gradients = [], []
    for epoch in range(epochs):
        running_loss = 0.0
        for index in torch.randperm(len(images)).to(device).split(128):
            optimizer.zero_grad()
            loss = F.cross_entropy(net(images[index].float() / 127.5 - 1), labels[index])
            loss.backward()
            optimizer.step()
            running_loss += loss.item() * len(index)
            if epoch == 0:
                gradients.append(net[0].weight.grad.norm().item())
        scheduler.step()
        losses.append(running_loss / len(images))
    return losses, sum(gradients) / len(gradients)


def read_options(
    description: str, images: tuple[int, str], epochs: int, figure: str
) -> argparse.Namespace:
    """The options of a measurement on CIFAR-10. `images`: the default of --images, and what it says."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    data_path = HERE.parent / "Test1_official_demo" / "data"
    data_path = data_path if data_path.exists() else HERE / "data"
    parser.add_argument(
        "--data-path", type=Path, default=data_path, help="root of CIFAR-10 (default: %(default)s)"
    )
    for name, default, text in (
        ("--images", *images),
        ("--epochs", epochs, "number of passes over them"),
        ("--seeds", 3, "number of runs"),
    ):
        parser.add_argument(name, type=int, default=default, help=f"{text} (default: %(default)s)")
    parser.add_argument(
        "--save", type=Path, default=HERE / figure, help="file (default: %(default)s)"
    )
    args = parser.parse_args()
    if min(args.images, args.epochs, args.seeds) < 1:
        parser.error("--images, --epochs and --seeds must be at least 1")
    return args


def open_cifar10(root: Path, train: bool) -> datasets.CIFAR10:
    try:
        return datasets.CIFAR10(root, train=train)
    except RuntimeError:
        raise UserError(
            f"no CIFAR-10 in {root}: train.py of Test1_official_demo fetches it"
        ) from None


def main() -> None:
    args = read_options(__doc__, (4000, "number of training images"), 15, "degradation.png")
    train_set = open_cifar10(args.data_path, train=True)
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "cpu"
    images = (
        torch.from_numpy(train_set.data[: args.images]).to(device).permute(0, 3, 1, 2)
    )  # bytes, channels last
    labels = torch.tensor(train_set.targets[: args.images], device=device)

    with new_figure(args.save, 9.5, 4.4) as figure:
        both = figure.subplots(1, 2, sharey=True)
        for axes, block, title in zip(
            both, (PlainBlock, BasicBlock), ("plain", "residual"), strict=True
        ):
            for layers, color, style in ((20, "#0072b2", "o-"), (56, "#d55e00", "s--")):
                start = time.perf_counter()
                losses, gradients = [], []
                for seed in range(args.seeds):
                    torch.manual_seed(seed)
                    run_losses, gradient = train(
                        make_net(block, layers), images, labels, args.epochs
                    )
                    losses.append(run_losses)
                    gradients.append(gradient)
                runs = torch.tensor(losses)  # [seeds, epochs]
                last = ", ".join(f"{loss:.3f}" for loss in runs[:, -1].tolist())
                print(
                    f"{title} net of {layers} layers: last training loss {runs[:, -1].mean():.3f} ({last}),",
                    end=" ",
                )
                print(
                    f"first layer's gradient {sum(gradients) / args.seeds:.2f}, {time.perf_counter() - start:.0f} s"
                )
                epochs = range(1, args.epochs + 1)
                axes.plot(
                    epochs,
                    runs.mean(dim=0),
                    style,
                    color=color,
                    markersize=4,
                    label=f"{layers} layers",
                )
                axes.fill_between(
                    epochs, runs.amin(dim=0), runs.amax(dim=0), color=color, alpha=0.2
                )
            axes.set(title=f"{title} nets", xlabel="epoch")
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.grid(alpha=0.3)
            axes.legend(fontsize=11)
        both[0].set(ylabel="training loss", ylim=(0, None))
        runs_text = (
            f"mean of {args.seeds} runs, and from the lowest to the highest"
            if args.seeds > 1
            else "one run"
        )
        figure.suptitle(f"CIFAR-10, {len(images)} training images: {runs_text}")


if __name__ == "__main__":
    run(main)
