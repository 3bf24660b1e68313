"""CIFAR-10: 50,000 training and 10,000 test pictures of 32x32 pixels in ten classes."""

import random
import socket
from pathlib import Path

from torchvision import datasets

from helpers import HERE, UserError, command, one_line


def fetch_cifar10(root: Path) -> None:
    """Fetch CIFAR-10 to `root`, unless it is there, whole.

    Raises:
        UserError: it cannot be fetched.
    """
    try:
        datasets.CIFAR10(root, train=False)
        return
    except RuntimeError:  # torchvision's "not found or corrupted"
        print(f"fetching {datasets.CIFAR10.url} (170 MB)")
    socket.setdefaulttimeout(30)  # seconds without an answer
    try:
        datasets.CIFAR10(root, download=True)
    except (OSError, RuntimeError) as error:
        advice = f"put {datasets.CIFAR10.url} at {root / datasets.CIFAR10.filename}"
        split_data = HERE.parent / "data_set" / "split_data.py"
        if split_data.exists():
            advice += (
                f"; the other lessons, such as Test2_alexnet, need no network: "
                f"{command(split_data, '--demo')}, and train.py there"
            )
        raise UserError(f"no CIFAR-10 in {root} ({one_line(error)}): {advice}") from None


def random_test_image(root: Path, folder: Path) -> tuple[Path, int, int]:
    """Draw one picture of CIFAR-10's test set at random, and write it to `folder` as a file.

    Returns:
        its path, its number in the test set, and its label
    """
    fetch_cifar10(root)
    test_set = datasets.CIFAR10(root, train=False)
    number = random.randrange(len(test_set))
    image, label = test_set[number]
    path = folder / "Lenet_test_image.png"
    folder.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path, number, label
