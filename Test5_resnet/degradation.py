"""Measure what the residual block mends: nets of 20 and 56 layers, without and with shortcuts.

python degradation.py --data-path ../Test1_official_demo/data       # writes degradation.png
python degradation.py --clip 5 --save clipped.png       # the same, with clipped gradients

The nets are those of the paper's section 4.2, for CIFAR-10: 3x3 convolutions with 16, 32 and 64
channels, batch norm, and global average pooling. All start in the same way. Compared is the
training loss: a deeper net that has the larger training loss has not overfitted, it is harder to
train. The norm of the gradient in the first layer, which lies the furthest from the loss, shows
at several steps whether gradients vanish or explode.
"""

import argparse
import math
import time
from pathlib import Path

import torch
from torch import nn, optim
from torchvision import datasets

from helpers import HERE, UserError, command, number_above_zero, positive_number, run
from model import BasicBlock
from plots import new_figure

COLORS = {20: "#0072b2", 56: "#d55e00"}  # by the number of layers
STYLES = {20: "o-", 56: "s--"}
STEPS = (1, 2, 3, 4, 8, 16, 32, 128)  # at which the gradient's norm is printed, and at the last


class PlainBlock(BasicBlock):
    """A BasicBlock without its shortcut."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, in_channel, H, W] to [N, out_channel, H / stride, W / stride]."""
        out = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(out)))


def make_net(block: type[BasicBlock], layers: int) -> nn.Sequential:
    """A net of 6n + 2 layers for images [N, 3, 32, 32], with n blocks at each number of channels.

    Shortcuts that change the shape are 1x1 convolutions.
    """
    modules: list[nn.Module] = [
        nn.Conv2d(3, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(inplace=True),
    ]
    in_channel = 16
    for channel in (16, 32, 64):
        for _ in range((layers - 2) // 6):
            stride = 1
            downsample = None
            if channel != in_channel:  # the first block of 32 and of 64 halves height and width
                stride = 2
                if block is BasicBlock:
                    downsample = nn.Sequential(
                        nn.Conv2d(in_channel, channel, kernel_size=1, stride=2, bias=False),
                        nn.BatchNorm2d(channel),
                    )
            modules.append(block(in_channel, channel, stride, downsample))
            in_channel = channel
    net = nn.Sequential(*modules, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    for m in net.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
    return net


def train(
    net: nn.Sequential, images: torch.Tensor, labels: torch.Tensor, epochs: int, clip: float
) -> tuple[list[float], list[float]]:
    """Train with SGD, momentum 0.9 and a learning rate that falls from 0.05 to 0 along a cosine.

    Args:
        clip: where the norm of all gradients together is larger, they are shrunk to it before
            the step; math.inf leaves them alone

    Returns:
        the mean loss of each epoch, and at each step the norm of the first convolution's gradient,
        as it was before it was shrunk
    """
    device = images.device
    net.to(device)
    net.train()
    loss_function = nn.CrossEntropyLoss()
    optimizer = optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=0.0001)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    losses, gradients = [], []
    for _ in range(epochs):
        running_loss = 0.0
        order = torch.randperm(len(images)).to(device)
        for index in order.split(128):
            optimizer.zero_grad()
            batch = images[index].float() / 127.5 - 1  # bytes to -1..1
            loss = loss_function(net(batch), labels[index])
            loss.backward()
            gradients.append(net[0].weight.grad.norm().item())
            nn.utils.clip_grad_norm_(net.parameters(), max_norm=clip)
            optimizer.step()
            running_loss += loss.item() * len(index)
        scheduler.step()
        losses.append(running_loss / len(images))
    return losses, gradients


def measurement_parser(
    description: str, *, images: int, images_help: str, epochs: int, figure: str
) -> argparse.ArgumentParser:
    """The options of a measurement on CIFAR-10; `figure` is the name of its picture."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    data_path = HERE.parent / "Test1_official_demo" / "data"
    if not data_path.exists():
        data_path = HERE / "data"
    parser.add_argument(
        "--data-path", type=Path, default=data_path, help="root of CIFAR-10 (default: %(default)s)"
    )
    parser.add_argument(
        "--images",
        type=positive_number,
        default=images,
        help=f"{images_help} (default: %(default)s)",
    )
    parser.add_argument(
        "--epochs",
        type=positive_number,
        default=epochs,
        help="number of passes over them (default: %(default)s)",
    )
    parser.add_argument(
        "--seeds", type=positive_number, default=3, help="number of runs (default: %(default)s)"
    )
    parser.add_argument(
        "--save", type=Path, default=HERE / figure, help="file (default: %(default)s)"
    )
    return parser


def open_cifar10(root: Path, train: bool) -> datasets.CIFAR10:
    """torchvision's CIFAR10.

    Raises:
        UserError: it is not in `root`.
    """
    try:
        return datasets.CIFAR10(root, train=train)
    except RuntimeError:
        train_script = HERE.parent / "Test1_official_demo" / "train.py"
        raise UserError(
            f"no CIFAR-10 in {root}: the first lesson's training fetches it: "
            f"{command(train_script)}"
        ) from None


def print_norms(norms: torch.Tensor) -> None:
    """Print the gradient's norm [seeds, steps] at several steps: mean (least to most) of seeds."""
    steps = norms.shape[1]
    for step in (*[step for step in STEPS if step < steps], steps):
        column = norms[:, step - 1]
        print(
            f"    step {step}: first layer's gradient {column.mean():.2f} "
            f"({column.min():.2f} to {column.max():.2f})"
        )


def main() -> None:
    parser = measurement_parser(
        __doc__,
        images=4000,
        images_help="number of training images",
        epochs=15,
        figure="degradation.png",
    )
    parser.add_argument(
        "--clip",
        type=number_above_zero,
        default=math.inf,
        help="largest norm of all gradients together (default: %(default)s)",
    )
    args = parser.parse_args()
    train_set = open_cifar10(args.data_path, train=True)
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "cpu"
    images = torch.from_numpy(train_set.data[: args.images]).to(device)
    images = images.permute(0, 3, 1, 2)  # bytes [N, 3, 32, 32]
    labels = torch.tensor(train_set.targets[: args.images], device=device)

    with new_figure(args.save, 9.5, 4.4) as figure:
        left, right = figure.subplots(1, 2, sharey=True)
        for axes, block, title in ((left, PlainBlock, "plain"), (right, BasicBlock, "residual")):
            for layers in (20, 56):
                start = time.perf_counter()
                losses, gradients = [], []
                for seed in range(args.seeds):
                    torch.manual_seed(seed)
                    net = make_net(block, layers)
                    run_losses, norms = train(net, images, labels, args.epochs, args.clip)
                    losses.append(run_losses)
                    gradients.append(norms)
                seconds = time.perf_counter() - start
                runs = torch.tensor(losses)  # [seeds, epochs]
                last = runs[:, -1]
                each = ", ".join(f"{loss:.3f}" for loss in last)
                print(
                    f"{title} net of {layers} layers: last training loss {last.mean():.3f} "
                    f"({each}), {seconds:.0f} s"
                )
                print_norms(torch.tensor(gradients))

                epochs = range(1, args.epochs + 1)
                mean, low, high = runs.mean(dim=0), runs.amin(dim=0), runs.amax(dim=0)
                line = {"color": COLORS[layers], "markersize": 4, "label": f"{layers} layers"}
                axes.plot(epochs, mean, STYLES[layers], **line)
                axes.fill_between(epochs, low, high, color=COLORS[layers], alpha=0.2)
            axes.set(title=f"{title} nets", xlabel="epoch")
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.grid(alpha=0.3)
            axes.legend(fontsize=11)
        left.set(ylabel="training loss", ylim=(0, None))
        runs_text = "one run"
        if args.seeds > 1:
            runs_text = f"mean of {args.seeds} runs, and from the lowest to the highest"
        figure.suptitle(f"CIFAR-10, {len(images)} training images: {runs_text}")


if __name__ == "__main__":
    run(main)
