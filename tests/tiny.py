"""Lessons whose nets are tiny, so that a change in train.py can be tried in all five."""

from pathlib import Path

import torch
from edits import Edits
from running import Result, copy_lesson, no_pictures, run_here
from torch import nn

# what every one of the tiny nets is: it has batch norm, dropout, and a last layer called fc
BODY = """
import torch
from torch import nn


class Tiny(nn.Module):
    def __init__(self, num_classes=1000):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 7, stride=4)
        self.bn = nn.BatchNorm2d(8)
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(8, num_classes)

    def forward(self, x):
        x = torch.relu(self.bn(self.conv(x)))
        return self.fc(self.dropout(x.mean(dim=(2, 3))))
"""
MODELS = {
    "Test1_official_demo": """
class LeNet(Tiny):
    def __init__(self):
        super().__init__(10)
""",
    "Test2_alexnet": """
class AlexNet(Tiny):
    def __init__(self, num_classes=1000, init_weights=False):
        super().__init__(num_classes)
""",
    "Test3_vggnet": """
cfgs = {"vgg11": [], "vgg16": []}


def vgg(model_name="vgg16", num_classes=1000, init_weights=False, width=2048):
    return Tiny(num_classes)


def lesson_weights(weights):
    return weights


def classifier_width(weights):
    return 2048
""",
    "Test4_googlenet": """
class GoogLeNet(Tiny):
    def __init__(self, num_classes=1000, aux_logits=True, init_weights=False):
        super().__init__(num_classes)
        if aux_logits:
            self.aux1 = nn.Linear(3, num_classes)
            self.aux2 = nn.Linear(3, num_classes)

    def forward(self, x):
        logits = super().forward(x)
        if not self.training:
            return logits
        colors = x.mean(dim=(2, 3))
        return logits, self.aux2(colors), self.aux1(colors)
""",
    "Test5_resnet": """
resnets = {"resnet18": Tiny, "resnet34": Tiny}
""",
}
STEMS = {
    "Test1_official_demo": "Lenet",
    "Test2_alexnet": "AlexNet",
    "Test3_vggnet": "vgg16Net",
    "Test4_googlenet": "googleNet",
    "Test5_resnet": "resNet34",
}


class TinyLesson:
    """A copy of a lesson with a tiny net, and what its train.py leaves."""

    def __init__(self, name: str, place: Path, data: Path):
        self.name, self.data = name, data
        self.folder = copy_lesson(name, place)
        (self.folder / "model.py").write_text(BODY + MODELS[name], encoding="utf-8")
        self.out = self.folder
        self.edits = Edits(self.folder / "train.py")
        # the lessons' names for the same things
        self.is_lenet = name == "Test1_official_demo"
        self.train_set = "train_set" if self.is_lenet else "train_dataset"
        self.logits = "outputs" if self.is_lenet else "logits"
        self.accuracy_column = "test_accuracy" if self.is_lenet else "val_accuracy"
        self.loss_column = "test_loss" if self.is_lenet else "val_loss"

    def train(self, *options: object) -> Result:
        fixed = ["--data-path", self.data, "--output-dir", self.out, "--batch-size", 3]
        fixed += ["--workers", 0, "--device", "cpu"]
        if self.name == "Test5_resnet":
            fixed += ["--weights", "none"]
        with no_pictures():
            return run_here(self.folder / "train.py", *fixed, *options)

    def predict(self, *options: object) -> Result:
        fixed = ["--data-path", self.data, "--output-dir", self.out, "--device", "cpu"]
        with no_pictures():
            return run_here(self.folder / "predict.py", *fixed, *options)

    @property
    def save_path(self) -> Path:
        return self.out / f"{STEMS[self.name]}.pth"

    @property
    def last_path(self) -> Path:
        return self.out / f"{STEMS[self.name]}_last.pth"

    def last(self) -> dict:
        return torch.load(self.last_path, weights_only=True)

    def history(self) -> list[dict]:
        return self.last()["history"]

    def rates(self) -> list[float]:
        """The learning rate of each parameter group."""
        return [group["lr"] for group in self.last()["state"]["optimizer"]["param_groups"]]

    def net(self, num_classes: int, path: Path | None = None) -> nn.Module:
        """The net with the weights of the last epoch, or of a weights file."""
        namespace: dict = {}
        exec(BODY + MODELS[self.name], namespace)
        net = namespace["Tiny"](num_classes)
        state = torch.load(path, weights_only=True) if path else self.last()["state"]["net"]
        net.load_state_dict({name: value for name, value in state.items() if "aux" not in name})
        return net.eval()
