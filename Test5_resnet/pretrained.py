"""The weights that transfer learning starts from."""

import socket
from pathlib import Path

import torch
from torchvision.models import get_model_weights

from helpers import HERE, UserError, one_line


def find_weights(model_name: str, weights: str | None) -> Path:
    """The file of weights to start from.

    It is `weights`, if that is given; else resnet34-pre.pth (or what the net is called) in this
    script's folder. Where that is not there, ImageNet's official weights are fetched to it.

    Raises:
        UserError: they cannot be fetched.
    """
    if weights:
        return Path(weights)
    path = HERE / f"{model_name}-pre.pth"
    if not path.exists():
        url = get_model_weights(model_name)["IMAGENET1K_V1"].url
        print(f"there is no {path}: fetching {url}")
        socket.setdefaulttimeout(30)  # seconds without an answer
        try:
            # the file's name ends in the first digits of its SHA-256
            torch.hub.download_url_to_file(url, str(path), hash_prefix=Path(url).stem[-8:])
        except (OSError, RuntimeError) as error:
            raise UserError(
                f"cannot fetch {url} ({one_line(error)}): put that file at {path}, "
                "or train from scratch with --weights none"
            ) from None
    return path
