"""The weights that transfer learning starts from."""

import socket
from pathlib import Path

import torch
from torchvision.models import get_model_weights

from helpers import HERE, UserError, last_line, load_weights, read_weights


def load_pretrained(net: torch.nn.Module, model_name: str, weights: str | None) -> Path:
    """Load weights into the net, but for its fc, from the file `weights`; by default from resnet34-pre.pth (or what the
    net is called) beside this script, and if there is none ImageNet's, which torchvision fetches and keeps.

    Returns:
        the file that they came from

    Raises:
        UserError: the file cannot be read, is of another net, or cannot be fetched.
    """
    path = Path(weights or HERE / f"{model_name}-pre.pth")
    if not weights and not path.exists():
        official = get_model_weights(model_name)["IMAGENET1K_V1"]
        print(f"there is no {path}: taking {official.url}")
        path = Path(torch.hub.get_dir(), "checkpoints", Path(official.url).name)
        socket.setdefaulttimeout(30)  # seconds without an answer
        try:
            official.get_state_dict(progress=True, check_hash=True, weights_only=True)
        except Exception as error:  # no network; a wrong hash; and a damaged file makes the unpickler fail in any way
            advice = (
                f"delete {path}"
                if path.exists()
                else f"put it at {HERE / f'{model_name}-pre.pth'} by hand"
            )
            raise UserError(f"cannot take {official.url} ({last_line(error)}): {advice}") from None
    load_weights(
        net, read_weights(path), path, leave_out=("fc.",)
    )  # it is made anew for the learner's classes
    return path
