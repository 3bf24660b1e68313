"""CIFAR-10: 50,000 training and 10,000 test pictures of 32x32 pixels in ten classes."""

import socket
from collections.abc import Callable
from pathlib import Path

from torchvision import datasets

from helpers import UserError, last_line


def open_cifar10(
    root: Path, train: bool, transform: Callable | None = None, download: bool = False
) -> datasets.CIFAR10:
    """torchvision's CIFAR10, or a UserError if it is not in `root`, or is damaged, and cannot be fetched."""
    try:
        try:
            return datasets.CIFAR10(root, train=train, transform=transform)
        except RuntimeError:  # torchvision's "not found or corrupted"
            if not download:
                raise
            print(f"fetching {datasets.CIFAR10.url}")
            socket.setdefaulttimeout(30)  # seconds without an answer
            return datasets.CIFAR10(root, train=train, transform=transform, download=True)
    except (OSError, RuntimeError) as error:
        path = root / datasets.CIFAR10.filename
        raise UserError(
            f"no CIFAR-10 in {root} ({last_line(error)}): put {datasets.CIFAR10.url} at {path}"
        ) from None
