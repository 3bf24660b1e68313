"""The lessons in plain PyTorch: what train.py must agree with (test_lessons.py), and is raced with (benchmark.py)."""

from pathlib import Path

import torch
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset
from torchvision import datasets, transforms

LENET, GOOGLENET, RESNET = "Test1_official_demo", "Test4_googlenet", "Test5_resnet"


def transform(folder: str, train: bool = False) -> transforms.Compose:
    """The transforms of a lesson."""
    mean, std = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)) if folder == RESNET else ((0.5,) * 3, (0.5,) * 3)
    if folder == LENET:
        size = [transforms.Resize((32, 32))]
    elif train:
        size = [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip()]
    elif folder == RESNET:
        size = [transforms.Resize(256), transforms.CenterCrop(224)]
    else:
        size = [transforms.Resize((224, 224))]
    return transforms.Compose([*size, transforms.ToTensor(), transforms.Normalize(mean, std)])


def make_loaders(folder: str, data_path: Path, batch_size: int, workers: int = 0) -> tuple[DataLoader, DataLoader]:
    if folder == LENET:
        sets = [datasets.CIFAR10(data_path, train=train, transform=transform(folder)) for train in (True, False)]
        sets[1] = TensorDataset(*next(iter(DataLoader(sets[1], batch_size=len(sets[1])))))  # as the lesson does
    else:
        sets = [datasets.ImageFolder(data_path / p, transform(folder, train=p == "train")) for p in ("train", "val")]
    test_batch = 200 if folder == LENET else batch_size
    return (
        DataLoader(sets[0], batch_size=batch_size, shuffle=True, num_workers=workers),
        DataLoader(sets[1], batch_size=test_batch, shuffle=False, num_workers=workers),
    )


def train(
    folder: str, net: nn.Module, loaders: tuple[DataLoader, DataLoader], lr: float, epochs: int, *,
    device: str = "cpu", save_path: Path | None = None, seed: int | None = None,
) -> list[list[float]]:  # fmt: skip
    """The lesson's loop. With a seed, with train.py's random numbers, and its order of adding up in memory and in Adam.

    Returns:
        for each epoch the mean training loss, and the mean loss and the accuracy on the second loader's images
    """
    net.to(device, memory_format=torch.contiguous_format if seed is None else torch.channels_last)
    loss_function = nn.CrossEntropyLoss()
    optimizer = optim.Adam(net.parameters(), lr=lr, fused=seed is not None)
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
                labels = labels.to(device)
                outputs = net(images.to(device))
                val_loss += loss_function(outputs, labels).item()
                acc += torch.eq(outputs.argmax(dim=1), labels).sum().item()
        accuracy = acc / len(loaders[1].dataset)
        if save_path and all(accuracy > row[2] for row in rows):
            torch.save(net.state_dict(), save_path)
        rows.append([running_loss / len(loaders[0]), val_loss / len(loaders[1]), accuracy])
    return rows
