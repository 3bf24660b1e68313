"""The lessons in plain PyTorch.

train.py must agree with them (test_lessons.py), and is raced with them (benchmark.py).
"""

from collections.abc import Callable
from pathlib import Path

import torch
from running import LESSONS, copy_lesson, edit, load
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset
from torchvision import datasets, transforms

LENET, ALEXNET, VGG, GOOGLENET, RESNET = LESSONS
DEFAULTS = {  # number of epochs, batch size, learning rate
    LENET: (5, 36, 0.001),
    ALEXNET: (10, 32, 0.0002),
    VGG: (30, 32, 0.0001),
    GOOGLENET: (30, 32, 0.0003),
    RESNET: (3, 16, 0.0001),
}
# the quickest of a lesson's nets: its weights file, options of predict.py and of train.py
QUICK: dict[str, tuple[str, list[str], list[str]]] = {
    LENET: ("Lenet.pth", [], []),
    ALEXNET: ("AlexNet.pth", [], []),
    VGG: ("vgg11Net.pth", ["--model-name", "vgg11"], ["--model-name", "vgg11"]),
    GOOGLENET: ("googleNet.pth", [], []),
    RESNET: (
        "resNet18.pth",
        ["--model-name", "resnet18"],
        ["--model-name", "resnet18", "--weights", "none"],
    ),
}
# changes of model.py that make the net compute, and be saved, quickly
QUICKER: dict[str, list[tuple[str, str]]] = {
    LENET: [],
    ALEXNET: [("2048", "32")],
    VGG: [
        ("2048", "16"),
        ('64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512', '4, "M", 4, "M", 4, "M", 4, "M"'),
    ],
    GOOGLENET: [  # an eighth of the channels everywhere
        ("128 * 4 * 4, 1024", "16 * 4 * 4, 16"),
        ("fc2 = nn.Linear(1024", "fc2 = nn.Linear(16"),
        ("self.fc = nn.Linear(1024", "self.fc = nn.Linear(128"),
        (
            "self.conv = nn.Conv2d(in_channels, out_channels, **kwargs)",
            "in_channels = in_channels if in_channels == 3 else in_channels // 8\n"
            "        self.conv = nn.Conv2d(in_channels, out_channels // 8, **kwargs)",
        ),
    ],
    RESNET: [("[2, 2, 2, 2]", "[1, 1, 1, 1]")],
}


def make_net(folder: str, num_classes: int, copy: Path | None = None) -> nn.Module:
    """A lesson's net with its first weights, made as train.py makes it.

    With `copy`, which quick_lesson made, it is that copy's quickest net.
    """
    model = load(str(copy or folder), "model")
    if folder == LENET:
        return model.LeNet()
    if folder == ALEXNET:
        return model.AlexNet(num_classes, init_weights=True)
    if folder == GOOGLENET:
        return model.GoogLeNet(num_classes, aux_logits=True, init_weights=True)
    if folder == VGG:
        return model.vgg("vgg11" if copy else "vgg16", num_classes=num_classes, init_weights=True)
    net = model.resnet18() if copy else model.resnet34()
    net.fc = nn.Linear(512, num_classes)
    return net


def quick_lesson(folder: str, place: Path) -> Path:
    """A copy of a lesson with a smaller net."""
    copy = copy_lesson(folder, place)
    edit(copy / "model.py", *QUICKER[folder])
    return copy


def transform(folder: str, train: bool = False) -> transforms.Compose:
    """The lesson's transform for training, or for validation and predictions."""
    if folder == LENET:
        size = [transforms.Resize((32, 32))]
    elif train:
        size = [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip()]
    elif folder == RESNET:
        size = [transforms.Resize(256), transforms.CenterCrop(224)]
    else:
        size = [transforms.Resize((224, 224))]
    if folder == RESNET:
        normalize = transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    else:
        normalize = transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    return transforms.Compose([*size, transforms.ToTensor(), normalize])


def make_loaders(
    folder: str, data_path: Path, batch_size: int, workers: int = 0
) -> tuple[DataLoader, DataLoader]:
    """PyTorch's loaders of a lesson's training and validation images."""
    if folder == LENET:
        train_set = datasets.CIFAR10(data_path, train=True, transform=transform(folder))
        val_set = datasets.CIFAR10(data_path, train=False, transform=transform(folder))
        images, labels = next(iter(DataLoader(val_set, batch_size=len(val_set))))
        val_set = TensorDataset(images, labels)  # read once, as the lesson does
        val_batch_size = 200
    else:
        train_set = datasets.ImageFolder(data_path / "train", transform(folder, train=True))
        val_set = datasets.ImageFolder(data_path / "val", transform(folder))
        val_batch_size = batch_size
    train_loader = DataLoader(train_set, batch_size, shuffle=True, num_workers=workers)
    val_loader = DataLoader(val_set, val_batch_size, num_workers=workers)
    return train_loader, val_loader


def test_some(net: nn.Module, test_set: TensorDataset, device: str) -> None:
    """Print the accuracy on 5,000 test images."""
    images, labels = test_set[:5000]
    net.eval()
    with torch.no_grad():
        right = torch.eq(net(images.to(device)).argmax(dim=1), labels.to(device)).sum().item()
    net.train()
    print(f"test_accuracy: {right / len(images):.3f}")


def train(
    folder: str,
    net: nn.Module,
    loaders: tuple[DataLoader, DataLoader],
    epochs: int,
    *,
    device: str = "cpu",
    save_path: Path | None = None,
    fused: bool = False,
    before_epoch: Callable[[int], object] | None = None,
) -> list[tuple[float, float, float]]:
    """The lesson's loop.

    Args:
        loaders: of the training and of the validation images
        save_path: file for the weights of the best epoch
        fused: use PyTorch's fused Adam, which rounds as train.py's does
        before_epoch: called with the epoch's number, from 0

    Returns:
        for each epoch the training loss, the validation loss (both are means over images) and the
        validation accuracy
    """
    train_loader, val_loader = loaders
    net.to(device)
    loss_function = nn.CrossEntropyLoss()
    optimizer = optim.Adam(net.parameters(), lr=DEFAULTS[folder][2], fused=fused)
    rows = []
    best_acc = -1.0
    for epoch in range(epochs):
        if before_epoch:
            before_epoch(epoch)
        net.train()
        running_loss, seen = 0.0, 0
        for step, (images, labels) in enumerate(train_loader):
            labels = labels.to(device)
            optimizer.zero_grad()
            outputs = net(images.to(device))
            if folder == GOOGLENET:
                logits, aux_logits2, aux_logits1 = outputs
                loss0 = loss_function(logits, labels)
                loss1 = loss_function(aux_logits1, labels)
                loss2 = loss_function(aux_logits2, labels)
                loss = loss0 + loss1 * 0.3 + loss2 * 0.3
            else:
                loss = loss_function(outputs, labels)
            loss.backward()
            optimizer.step()
            running_loss += loss.item() * len(images)
            seen += len(images)
            if folder == LENET and step % 500 == 499:  # as the lesson does
                test_some(net, val_loader.dataset, device)

        net.eval()
        running_val_loss, acc, val_seen = 0.0, 0, 0
        with torch.no_grad():
            for images, labels in val_loader:
                labels = labels.to(device)
                outputs = net(images.to(device))
                running_val_loss += loss_function(outputs, labels).item() * len(images)
                acc += torch.eq(outputs.argmax(dim=1), labels).sum().item()
                val_seen += len(images)
        val_accurate = acc / val_seen
        if val_accurate > best_acc:
            best_acc = val_accurate
            if save_path:
                torch.save(net.state_dict(), save_path)
        rows.append((running_loss / seen, running_val_loss / val_seen, val_accurate))
    return rows
