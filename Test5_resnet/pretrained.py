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


def split_fc(weights: dict[str, torch.Tensor]) -> tuple[dict, dict]:
    """Part a net's weights into those of all other layers and fc's, named as fc names them."""
    others, fc_weights = {}, {}
    for name, value in weights.items():
        if name.startswith("fc."):
            fc_weights[name.removeprefix("fc.")] = value
        else:
            others[name] = value
    return others, fc_weights


def load_fc(fc: torch.nn.Module, fc_weights: dict[str, torch.Tensor]) -> None:
    """Load the weights of a last layer, if their names and shapes are its own, and say so."""
    shapes = {name: value.shape for name, value in fc.state_dict().items()}
    if {name: value.shape for name, value in fc_weights.items()} == shapes:
        fc.load_state_dict(fc_weights)
        print("the weights of fc are loaded too: they are of as many classes")
