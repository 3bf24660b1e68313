"""The lessons in plain PyTorch: what train.py must agree with (test_lessons.py), and is raced with (benchmark.py)."""

from pathlib import Path

import torch
from running import LESSONS, copy_lesson, edit, load
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset
from torchvision import datasets, transforms

LENET, ALEXNET, VGG, GOOGLENET, RESNET = LESSONS
# number of epochs, batch size, learning rate
DEFAULTS = {LENET: (5, 36, 0.001), ALEXNET: (10, 32, 0.0002), VGG: (30, 32, 0.0001), GOOGLENET: (30, 32, 0.0003),
            RESNET: (3, 16, 0.0001)}  # fmt: skip
QUICK: dict[
    str, tuple[str, list[str], list[str]]
] = {  # weights file, options of predict.py and of train.py
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
QUICKER = {  # of model.py: what makes its net compute, and be saved, quickly
    ALEXNET: [("2048", "32")],
    VGG: [
        ("2048", "16"),
        ('64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512', '4, "M", 4, "M", 4, "M", 4, "M"'),
    ],
    GOOGLENET: [("4 * 4, 1024", "4 * 4, 16"), ("fc2 = nn.Linear(1024", "fc2 = nn.Linear(16")],
    RESNET: [("[2, 2, 2, 2]", "[1, 1, 1, 1]")],
}


def make_net(folder: str, num_classes: int, copy: Path | None = None) -> nn.Module:
    """A lesson's net with its first weights, made as train.py makes it; or that of a copy by quick_lesson."""
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
    copy = copy_lesson(folder, place)
    edit(copy / "model.py", *QUICKER.get(folder, []))
    return copy


def transform(folder: str, train: bool = False) -> transforms.Compose:
    mean, std = (
        ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        if folder == RESNET
        else ((0.5,) * 3, (0.5,) * 3)
    )
    if folder == LENET:
        size = [transforms.Resize((32, 32))]
    elif train:
        size = [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip()]
    elif folder == RESNET:
        size = [transforms.Resize(256), transforms.CenterCrop(224)]
    else:
        size = [transforms.Resize((224, 224))]
    return transforms.Compose([*size, transforms.ToTensor(), transforms.Normalize(mean, std)])


def make_loaders(
    folder: str, data_path: Path, batch_size: int, workers: int = 0
) -> tuple[DataLoader, DataLoader]:
    if folder == LENET:
        sets = [
            datasets.CIFAR10(data_path, train=train, transform=transform(folder))
            for train in (True, False)
        ]
        sets[1] = TensorDataset(
            *next(iter(DataLoader(sets[1], batch_size=len(sets[1]))))
        )  # as the lesson does
    else:
        sets = [
            datasets.ImageFolder(data_path / p, transform(folder, train=p == "train"))
            for p in ("train", "val")
        ]
    sizes = batch_size, 200 if folder == LENET else batch_size
    return tuple(
        DataLoader(s, n, shuffle=s is sets[0], num_workers=workers)
        for s, n in zip(sets, sizes, strict=True)
    )


def train(
    folder: str, net: nn.Module, loaders: tuple[DataLoader, DataLoader], epochs: int, *,
    device: str = "cpu", save_path: Path | None = None, seed: int | None = None,
) -> list[list[float]]:  # fmt: skip
    """The lesson's loop. With a seed, with train.py's random numbers, and its order of adding up in memory and in Adam.

    Returns for each epoch the mean training loss, and the mean loss and the accuracy on the second loader's images.
    """
    net.to(device, memory_format=torch.contiguous_format if seed is None else torch.channels_last)
    loss_function = nn.CrossEntropyLoss()
    optimizer = optim.Adam(net.parameters(), lr=DEFAULTS[folder][2], fused=seed is not None)
    rows: list[list[float]] = []
    for epoch in range(epochs):
        if seed is not None:
            torch.manual_seed(1000 * seed + epoch + 1)
        net.train()
        running_loss, val_loss, acc = 0.0, 0.0, 0
        for images, labels in loaders[0]:
            labels = labels.to(device)
            optimizer.zero_grad()
            outputs = net(images.to(device))
            if folder == GOOGLENET:
                loss0, loss2, loss1 = (loss_function(output, labels) for output in outputs)
                loss = loss0 + 0.3 * loss1 + 0.3 * loss2
            else:
                loss = loss_function(outputs, labels)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
        net.eval()
        with torch.no_grad():
            for images, labels in loaders[1]:
                outputs, labels = net(images.to(device)), labels.to(device)
                val_loss += loss_function(outputs, labels).item()
                acc += torch.eq(outputs.argmax(dim=1), labels).sum().item()
        accuracy = acc / len(loaders[1].dataset)
        if save_path and all(accuracy > row[2] for row in rows):
            torch.save(net.state_dict(), save_path)
        rows.append([running_loss / len(loaders[0]), val_loss / len(loaders[1]), accuracy])
    return rows
