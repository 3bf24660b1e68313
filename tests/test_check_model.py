"""check_model.py passes every right form of a lesson's net, and names a learner's mistakes."""

import linecache
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import check_model
import pytest
import torch
from running import ROOT, Patch, Result, call, edit

FOLDERS = {
    "LeNet": "Test1_official_demo",
    "AlexNet": "Test2_alexnet",
    "vgg11": "Test3_vggnet",
    "GoogLeNet": "Test4_googlenet",
    "resnet18": "Test5_resnet",
}
Changes = list[tuple[str, str]]

pytestmark = pytest.mark.slow


def narrow(text: str) -> str:
    """A model.py with an eighth of the channels, which computes quickly."""
    return re.sub(r"\b\d+\b", lambda m: m[0] if int(m[0]) < 16 else str(int(m[0]) // 8), text)


@pytest.fixture(scope="module")
def lessons(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The five model.py: LeNet's as it is, the others narrow."""
    root = tmp_path_factory.mktemp("lessons")
    for name, folder in FOLDERS.items():
        text = (ROOT / folder / "model.py").read_text(encoding="utf-8")
        (root / folder).mkdir()
        path = root / folder / "model.py"
        path.write_text(text if name == "LeNet" else narrow(text), encoding="utf-8")
    return root


@pytest.fixture(autouse=True)
def quick(lessons: Path, monkeypatch: Patch) -> Iterator[None]:
    monkeypatch.setattr(check_model, "ROOT", lessons)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)  # the script sets it


def answer(place: Path, name: str, *changes: tuple[str, str]) -> Result:
    """What the script says of a lesson's model.py with changes."""
    path = place / "model.py"
    shutil.copy(ROOT / FOLDERS[name] / "model.py", path)
    edit(path, *changes)
    if name != "LeNet":
        path.write_text(narrow(path.read_text(encoding="utf-8")), encoding="utf-8")
    linecache.clearcache()  # pytest uses a folder again
    result = call(check_model.main, Path("check_model.py"), path, name)
    assert result.err == "" and "Traceback" not in result.out
    assert not (place / "__pycache__").exists()
    return result


def says(result: Result, *words: str) -> None:
    """Assert exit status 1, and a first line that holds the words."""
    assert result.status == 1, result.out
    first = result.out.splitlines()[0]
    for word in words:
        assert word in first, (word, first)


# ----- what is right -----

FLATTEN = "torch.flatten(x, start_dim=1)"
ADD = "        out += identity\n"
RELU_LAST = "        out = self.relu(out)\n"
SAME_NET: dict[str, tuple[str, Changes]] = {
    "LeNet as it is": ("LeNet", []),
    "AlexNet as it is": ("AlexNet", []),
    "VGG as it is": ("vgg11", []),
    "GoogLeNet as it is": ("GoogLeNet", []),
    "ResNet as it is": ("resnet18", []),
    "LeNet with positions, view, one pool, and a print": (
        "LeNet",
        [
            ("nn.Conv2d(3, 16, kernel_size=5)", "nn.Conv2d(3, 16, 5)"),
            ("self.pool1 = nn.MaxPool2d(kernel_size=2, stride=2)", "self.pool = nn.MaxPool2d(2)"),
            ("        self.pool2 = nn.MaxPool2d(kernel_size=2, stride=2)\n", ""),
            ("self.pool1(x)", "self.pool(x)"),
            ("self.pool2(x)", "F.max_pool2d(x, 2)"),
            ("x.shape[1:] != (3, 32, 32)", "False"),
            ("F.relu(self.fc1(x))", "torch.relu(self.fc1(x))"),
            (FLATTEN, "x.view(-1, 32 * 5 * 5); print(x.shape, x.mean())"),
        ],
    ),
    "LeNet with the images turned and turned back": (
        "LeNet",
        [(FLATTEN, "x.transpose(1, 2).transpose(1, 2).reshape(len(x), -1)")],
    ),
    "AlexNet with padding by name, ReLU() and view": (
        "AlexNet",
        [
            ("192, kernel_size=3, padding=1", "192, 3, padding='same'"),
            ("nn.ReLU(inplace=True)", "nn.ReLU()"),
            ("super().__init__()", "super(AlexNet, self).__init__()"),
            (FLATTEN, "x.view(x.size(0), -1)"),
        ],
    ),
    "GoogLeNet with other names, branches and heads in another order, F.relu, mean": (
        "GoogLeNet",
        [
            ("        branch3 = self.branch3(x)\n", ""),
            ("        branch4 = self.branch4(x)\n", ""),
            (
                "outputs = [branch1, branch2, branch3, branch4]",
                "branch4 = self.branch4(x)\n"
                "        outputs = (branch1, branch2, self.branch3(x), branch4)",
            ),
            ("aux1 = self.aux1(x)", "after_4a = x"),
            ("aux2 = self.aux2(x)", "after_4d = x"),
            ("return x, aux2, aux1", "return x, self.aux2(after_4d), self.aux1(after_4a)"),
            ("self.averagePool = nn.AvgPool2d(kernel_size=5, stride=3)", "pass"),
            ("self.averagePool(x)", "F.avg_pool2d(x, 5, 3)"),
            ("self.relu = nn.ReLU(inplace=True)", "pass"),
            ("self.relu(x)", "F.relu(x, inplace=True)"),
            ("self.avgpool(x)", "x.mean([2, 3])"),
            ("self.maxpool2(x)", "self.maxpool1(x)"),
            ("p=0.5, training=self.training", "0.5, self.training"),
        ],
    ),
    "ResNet with the shortcut last, and other functions": (
        "resnet18",
        [
            ("identity = self.downsample(x)", "pass"),
            (
                f"{ADD}{RELU_LAST}        return out",
                "        if self.downsample is not None:\n"
                "            identity = self.downsample(x)\n"
                "        return torch.relu(out + identity)",
            ),
            ("nn.AdaptiveAvgPool2d((1, 1))", "nn.AvgPool2d(7)"),
        ],
    ),
}


@pytest.mark.parametrize("form", SAME_NET)
def test_the_lessons_net_is_right_in_any_form(form: str, tmp_path: Path) -> None:
    name, changes = SAME_NET[form]
    result = answer(tmp_path, name, *changes)
    assert result.status == 0, result.out
    assert f"{name} is right" in result.out.splitlines()[-1]


def test_arguments_that_the_net_need_not_have_are_named(tmp_path: Path) -> None:
    result = answer(
        tmp_path,
        "GoogLeNet",
        (", aux_logits: bool = True, init_weights: bool = False", ""),
        ("self.aux_logits = aux_logits", "self.aux_logits = True"),
        ("        if init_weights:\n", "        if True:\n"),
    )
    assert result.status == 0, result.out
    assert "does not take aux_logits" in result.out and "does not take init_weights" in result.out


# ----- what is wrong: the words of the answer's first line -----

CONV1 = "self.conv1 = nn.Conv2d(3, 16, kernel_size=5"
POOL1 = "self.pool1 = nn.MaxPool2d(kernel_size=2, stride=2)"
RELU1 = "x = F.relu(self.conv1(x))"
RELU = "            nn.ReLU(inplace=True),\n"
DROPOUT = "            nn.Dropout(p=0.5),\n"
AUX_DROPOUT = "        x = F.dropout(x, p=0.5, training=self.training)\n"
MISTAKES: dict[str, tuple[str, Changes, list[str]]] = {
    # names and shapes
    "kernel_size": (
        "LeNet",
        [(CONV1, f"{CONV1[:-1]}3")],
        ["conv1.weight is [16, 3, 3, 3]; the lesson has [16, 3, 5, 5]: kernel_size is 3, not 5."],
    ),
    "out_channels": (
        "LeNet",
        [("Conv2d(3, 16", "Conv2d(3, 6")],
        ["conv1.weight", "out_channels is 6, not 16"],
    ),
    "in_channels": (
        "LeNet",
        [("Conv2d(16, 32", "Conv2d(6, 32")],
        ["conv2.weight", "in_channels is 6, not 16"],
    ),
    "groups": (
        "LeNet",
        [("Conv2d(16, 32", "Conv2d(16, 32, groups=2")],
        ["conv2.weight", "groups is 2, not 1"],
    ),
    "channels in and out": (
        "LeNet",
        [("Conv2d(3, 16", "Conv2d(16, 3")],
        ["conv1.weight", "in_channels is 16, not 3, out_channels is 3, not 16"],
    ),
    "number of classes": (
        "LeNet",
        [("nn.Linear(84, 10)", "nn.Linear(84, 5)")],
        ["fc3.weight", "out_features is 5, not 10"],
    ),
    "num_classes not used": (
        "AlexNet",
        [("nn.Linear(2048, num_classes)", "nn.Linear(2048, 1000)")],
        ["classifier.6.weight", "does this layer use num_classes?"],
    ),
    "bias missing": (
        "LeNet",
        [(CONV1, f"{CONV1}, bias=False")],
        ["conv1 has no bias", "bias="],
    ),
    "bias too many": (
        "resnet18",
        [
            (
                "nn.Conv2d(out_channel, out_channel, kernel_size=3, padding=1, bias=False)",
                "nn.Conv2d(out_channel, out_channel, kernel_size=3, padding=1)",
            )
        ],
        ["layer1.0.conv2 has a bias", "bias="],
    ),
    "batch norm missing": (
        "resnet18",
        [("        self.bn2 = nn.BatchNorm2d(out_channel)\n", "")],
        ["no layer1.0.bn2 (BatchNorm2d)", "self.bn2 = ..."],
    ),
    "batch norm where there is none": (
        "GoogLeNet",
        [("self.relu = nn.ReLU(inplace=True)", "self.bn = nn.BatchNorm2d(out_channels)")],
        ["your net has conv1.bn (BatchNorm2d)"],
    ),
    "batch norm without weights": (
        "resnet18",
        [("nn.BatchNorm2d(self.in_channel)", "nn.BatchNorm2d(self.in_channel, affine=False)")],
        ["bn1 has no weight", "look at its arguments"],
    ),
    "misspelled": (
        "AlexNet",
        [("self.features", "self.fearures")],
        ["fearures", "the lesson calls it features"],
    ),
    "comma": (
        "LeNet",
        [(f"{CONV1})", f"{CONV1}),")],
        ["no conv1", "comma"],
    ),
    "a list of layers": (
        "vgg11",
        [("return nn.Sequential(*layers)", "return layers")],
        ["no features", "nn.Sequential"],
    ),
    "another class": (
        "LeNet",
        [(f"{CONV1})", "self.conv1 = nn.Linear(3, 16)")],
        ["conv1.weight", "it is a Linear, not a Conv2d"],
    ),
    "a layer for a block": (
        "GoogLeNet",
        [("self.conv2 = BasicConv2d(", "self.conv2 = nn.Conv2d(")],
        ["conv2 is a Conv2d; the lesson has a BasicConv2d"],
    ),
    "blocks": (
        "resnet18",
        [("range(1, block_num)", "range(block_num)")],
        ["layer1 has 3 blocks; the lesson has 2"],
    ),
    "a layer that the lesson does not have": (
        "LeNet",
        [("self.fc3 = ", "self.fc4 = nn.Linear(10, 10)\n        self.fc3 = ")],
        ["your net has fc4 (Linear), which the lesson does not have"],
    ),
    "a parameter that the lesson does not have": (
        "LeNet",
        [("self.fc3 = ", "self.scale = nn.Parameter(torch.ones(1))\n        self.fc3 = ")],
        ["your net has scale, which the lesson does not have"],
    ),
    "downsample not kept": (
        "resnet18",
        [("self.downsample = downsample", "self.downsample = None")],
        ["no layer2.0.downsample", "downsample is None"],
    ),
    "expansion": (
        "resnet18",
        [("expansion = 1", "expansion = 4")],
        ["your net has layer1.0.downsample"],
    ),
    "ReLU missing in a Sequential": (
        "AlexNet",
        [(f"2048, 2048),\n{RELU}", "2048, 2048),\n")],
        ["after classifier.4 (Linear) the lesson has ReLU, which your net lacks"],
    ),
    "pooling missing in a Sequential": (
        "vgg11",
        [('"vgg11": [64, "M", 128', '"vgg11": [64, 128')],
        ["after features.1 (ReLU) the lesson has MaxPool2d"],
    ),
    "layers too many in a Sequential": (
        "vgg11",
        [('"vgg11": [64, "M", 128', '"vgg11": [64, 64, "M", 128')],
        ["after features.1 (ReLU) your net has Conv2d and ReLU"],
    ),
    "dropout missing in a Sequential": (
        "AlexNet",
        [(f"{DROPOUT}            nn.Linear(128", "            nn.Linear(128")],
        ["at the beginning of classifier the lesson has Dropout"],
    ),
    "all dropout missing": (
        "AlexNet",
        [(DROPOUT, "")],
        ["classifier.0 is Linear; the lesson has Dropout"],
    ),
    "__init__ misspelled": (
        "LeNet",
        [("def __init__", "def _init_")],
        ["no layers", "__init__"],
    ),
    # settings that leave the shapes of the parameters
    "stride": (
        "AlexNet",
        [("stride=4", "stride=2")],
        ["features.0 (Conv2d): stride is 2; the lesson has 4."],
    ),
    "padding": (
        "AlexNet",
        [("nn.Conv2d(48, 128, kernel_size=5, padding=2)", "nn.Conv2d(48, 128, kernel_size=5)")],
        ["features.3 (Conv2d): padding is 0; the lesson has 2."],
    ),
    "stride and padding": (
        "LeNet",
        [(CONV1, f"{CONV1}, stride=2, padding=1")],
        ["conv1 (Conv2d): stride is 2, padding is 1; the lesson has stride 1, padding 0."],
    ),
    "dilation": ("LeNet", [(CONV1, f"{CONV1}, dilation=2")], ["conv1", "dilation is 2"]),
    "a pooling's stride": ("LeNet", [(POOL1, f"{POOL1[:-2]}1)")], ["pool1 (max", "stride is 1"]),
    "a pooling's kernel": (
        "LeNet",
        [("self.pool2(x)", "F.max_pool2d(x, 3, 2, 1)")],
        ["max pooling: kernel_size is 3, padding is 1; the lesson has kernel_size 2"],
    ),
    "a block's stride": (
        "resnet18",
        [("kernel_size=3, stride=stride", "kernel_size=3, stride=1")],
        ["layer2.0.conv1 (Conv2d): stride is 1; the lesson has 2."],
    ),
    "ceil_mode": (
        "GoogLeNet",
        [("maxpool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)", "maxpool3 = nn.MaxPool2d(3, 2)")],
        ["maxpool3 (max pooling): ceil_mode is False; the lesson has True."],
    ),
    "average pooling": (
        "LeNet",
        [(POOL1, POOL1.replace("Max", "Avg"))],
        ["your net has pool1 (average pooling); the lesson has pool1 (max pooling)"],
    ),
    "eps": (
        "resnet18",
        [("nn.BatchNorm2d(self.in_channel)", "nn.BatchNorm2d(self.in_channel, eps=0.001)")],
        ["bn1 (BatchNorm2d): eps is 0.001; the lesson has 1e-05."],
    ),
    "momentum": (
        "resnet18",
        [("nn.BatchNorm2d(self.in_channel)", "nn.BatchNorm2d(self.in_channel, momentum=0.01)")],
        ["bn1.running_mean", "momentum"],
    ),
    # steps of forward
    "ReLU missing": (
        "LeNet",
        [(RELU1, "x = self.conv1(x)")],
        ["after conv1 (Conv2d) the lesson has ReLU; your net goes straight on with pool1"],
    ),
    "ReLU missing twice": (
        "LeNet",
        [("F.relu(self.conv2(x))", "self.conv2(x)"), ("F.relu(self.fc2(x))", "self.fc2(x)")],
        ["after conv2 (Conv2d) the lesson has ReLU; your net goes straight on with pool2"],
    ),
    "ReLU missing in a block": (
        "GoogLeNet",
        [("        x = self.relu(x)\n        return x", "        return x")],
        ["after conv1.conv (Conv2d) the lesson has conv1.relu (ReLU)"],
    ),
    "ReLU missing, and the numbers kept": (
        "AlexNet",
        [(f"6 * 6, 2048),\n{RELU}", "6 * 6, 2048),\n            nn.Identity(),\n")],
        ["after classifier.1 (Linear) the lesson has classifier.2 (ReLU)"],
    ),
    "ReLU forgotten": (
        "LeNet",
        [(RELU1, "x = self.conv1(x)\n        F.relu(x)")],
        ["does not use what the ReLU after conv1 (Conv2d) gives", "pool1 (max pooling) takes it"],
    ),
    "ReLU at the end": (
        "LeNet",
        [("x = self.fc3(x)", "x = F.relu(self.fc3(x))")],
        ["after fc3 (Linear) your net has ReLU; the lesson ends there"],
    ),
    "softmax": (
        "LeNet",
        [("x = self.fc3(x)", "x = F.softmax(self.fc3(x), dim=1)")],
        ["after fc3 (Linear) your net has softmax", "CrossEntropyLoss"],
    ),
    "sigmoid": ("LeNet", [(RELU1, RELU1.replace("F.relu", "torch.sigmoid"))], ["sigmoid", "ReLU"]),
    "a layer too many": (
        "LeNet",
        [(RELU1, f"{RELU1} + 0.5")],
        ["after the ReLU after conv1 (Conv2d) your net has +", "straight on with pool1"],
    ),
    "a layer twice": (
        "resnet18",
        [("out = self.bn2(out)", "out = self.bn1(out)")],
        ["after layer1.0.conv2 (Conv2d) your net has layer1.0.bn1", "the lesson has layer1.0.bn2"],
    ),
    "fc1 and fc2": (
        "LeNet",
        [("F.relu(self.fc1(x))", "F.relu(self.fc2(x))")],
        ["after pool2 (max pooling) the lesson has fc1 (Linear)", "your net", "fc2 (Linear)"],
    ),
    "a block passed over": (
        "GoogLeNet",
        [("x = self.inception4c(x)", "pass")],
        ["after inception4b (torch.cat) the lesson has inception4c; your net goes straight on"],
    ),
    "a pooling passed over": (
        "GoogLeNet",
        [("x = self.maxpool4(x)", "pass")],
        ["after inception4e (torch.cat) the lesson has maxpool4 (max pooling)"],
    ),
    "branches swapped": (
        "GoogLeNet",
        [("[branch1, branch2, branch3,", "[branch1, branch3, branch2,")],
        ["inception3a (torch.cat) joins branch1, branch3, branch2, branch4, in this order"],
    ),
    "a branch missing": (
        "GoogLeNet",
        [("outputs, dim=1", "outputs[:3], dim=1")],
        ["inception3a (torch.cat) gets branch1, branch2, branch3; in the lesson", "branch4."],
    ),
    "torch.cat's dim": (
        "GoogLeNet",
        [("torch.cat(outputs, dim=1)", "torch.cat(outputs)")],
        ["inception3a (torch.cat): dim is 0; the lesson has 1."],
    ),
    "branches added": (
        "GoogLeNet",
        [("torch.cat(outputs, dim=1)", "outputs[0] + outputs[1]")],
        ["after inception3a.branch1.relu (ReLU) your net has inception3a (+)", "no such step"],
    ),
    "weights changed by forward": (
        "LeNet",
        [(RELU1, f"self.conv1.weight.data *= 2\n        {RELU1}")],
        ["conv1 (Conv2d) gives another result"],
    ),
    "no shortcut": (
        "resnet18",
        [(ADD, "")],
        ["after layer1.0.bn2 (BatchNorm2d) the lesson has layer1.0 (+)", "out += identity"],
    ),
    "downsample not applied": (
        "resnet18",
        [("identity = self.downsample(x)", "pass")],
        ["the lesson has layer2.0.downsample; your net goes straight on with layer2.0 (+)"],
    ),
    "downsample applied for nothing": (
        "resnet18",
        [("out += identity", "out += x")],
        ["layer2.0 (+) gets bn2, ", "; in the lesson it gets bn2, downsample."],
    ),
    "ReLU before the addition": (
        "resnet18",
        [(ADD + RELU_LAST, RELU_LAST + ADD)],
        ["your net has layer1.0.relu (ReLU) first, then +; the lesson has them in the other order"],
    ),
    "multiplied, and values that overflow": (
        "resnet18",
        [("out += identity", "out *= identity * 1e9")],
        ["your net has layer1.0 (mul); the lesson has layer1.0 (+)"],
    ),
    "images of the batch mixed": (
        "LeNet",
        [(FLATTEN, "x.permute(0, 2, 3, 1).flatten(1)")],
        ["after pool2 (max pooling) your net has permute"],
    ),
    # in train() only
    "dropout's p": (
        "GoogLeNet",
        [("p=0.4", "p=0.5")],
        ["in train(), dropout (Dropout): p is 0.5; the lesson has 0.4."],
    ),
    "dropout missing": (
        "GoogLeNet",
        [("x = self.dropout(x)", "pass")],
        ["in train(), after avgpool", "the lesson has dropout (Dropout)"],
    ),
    "dropout after the layer": (
        "GoogLeNet",
        [("x = self.dropout(x)", "pass"), ("x = self.fc(x)", "x = self.dropout(self.fc(x))")],
        ["in train(), after avgpool", "has fc (Linear) first, then Dropout", "in the other order"],
    ),
    "dropout missing in a head": (
        "GoogLeNet",
        [(f"{AUX_DROPOUT}        x = self.fc2", "        x = self.fc2")],
        ["in train(), after aux1 (ReLU) the lesson has aux1 (Dropout)", "aux1.fc2 (Linear)"],
    ),
    "dropout where there is none": (
        "LeNet",
        [("x = self.fc3(x)", "x = self.fc3(F.dropout(x, training=self.training))")],
        ["in train(), after the ReLU after fc2 (Linear) your net has Dropout"],
    ),
    "dropout in eval()": (
        "GoogLeNet",
        [("x = self.dropout(x)", "x = F.dropout(x, 0.4)")],
        ["your net has Dropout", "training=self.training"],
    ),
    "heads returned in the wrong order": (
        "GoogLeNet",
        [("return x, aux2, aux1", "return x, aux1, aux2")],
        ["in train(), forward returns fc (Linear), aux1.fc2 (Linear), aux2.fc2 (Linear)"],
    ),
    "a head at the wrong place": (
        "GoogLeNet",
        [
            ("aux1 = self.aux1(x)", "pass"),
            ("aux2 = self.aux2(x)", "aux1, aux2 = self.aux1(x), self.aux2(x)"),
        ],
        ["in train(), aux1.averagePool (average pooling) gets inception4d", "inception4a"],
    ),
    "heads swapped": (
        "GoogLeNet",
        [("aux1 = self.aux1(x)", "aux1 = self.aux2(x)"), ("aux2 = self.aux2", "aux2 = self.aux1")],
        ["in train(), aux2.averagePool (average pooling) gets inception4a", "inception4d"],
    ),
    "heads in eval()": (
        "GoogLeNet",
        [("self.training and self.aux_logits", "self.aux_logits")],
        ["in eval(), forward gives 3 tensors; the lesson 1", "self.training"],
    ),
    "no heads": (
        "GoogLeNet",
        [("self.training and self.aux_logits", "False")],
        ["in train(), forward gives 1 tensor; the lesson 3: (logits, aux2, aux1)"],
    ),
    "no gradient": (
        "LeNet",
        [(FLATTEN, "x.detach().flatten(1)")],
        ["conv1.weight gets no gradient", "detach()"],
    ),
    "another gradient": (
        "LeNet",
        [("x = self.fc3(x)", "x = self.fc3((x + x.detach()) / 2)")],
        ["conv1.weight gets another gradient", "detach()"],
    ),
    # what forward returns
    "return missing": ("LeNet", [("        return x\n", "")], ["forward of LeNet gives None"]),
    "return missing in a block": (
        "GoogLeNet",
        [("        x = self.relu(x)\n        return x", "        x = self.relu(x)")],
        ["forward of conv1 (BasicConv2d) gives None"],
    ),
    "the last layer passed over": (
        "LeNet",
        [("x = self.fc3(x)", "pass")],
        ["forward returns the ReLU after fc2 (Linear); the lesson returns fc3 (Linear)"],
    ),
    "another shape": (
        "LeNet",
        [("        return x\n", "        return x.flatten()\n")],
        ["the output [20] is not the lesson's [2, 10]"],
    ),
    "no tensor": ("LeNet", [("        return x\n", "        return 'x'\n")], ["gives a str"]),
    "a list": ("LeNet", [("        return x\n", "        return [x]\n")], ["gives a list"]),
    # the class and its arguments
    "another class name": ("LeNet", [("class LeNet", "class Lenet")], ["no LeNet; it has Lenet"]),
    "no nn.Module": ("LeNet", [("(nn.Module)", "")], ["class LeNet(nn.Module)"]),
    "function without return": (
        "vgg11",
        [("    return model\n", "    model\n")],
        ["model_name='vgg11'", "gives None", "return"],
    ),
    "function that returns the class": (
        "vgg11",
        [("    return model\n", "    return VGG\n")],
        ["gives a type, not a net"],
    ),
    "no num_classes": (
        "AlexNet",
        [("num_classes", "class_num")],
        ["does not take num_classes", "AlexNet(num_classes=5, init_weights=True)"],
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_named(mistake: str, tmp_path: Path) -> None:
    name, changes, words = MISTAKES[mistake]
    says(answer(tmp_path, name, *changes), *words)


# ----- errors in her own code: her line, her message, and what it means -----

ERRORS: dict[str, tuple[Changes, list[str]]] = {
    "no flatten": (
        [(FLATTEN, "x")],
        ["fc1 (Linear) gets a tensor [2, 32, 5, 5]; in the lesson [2, 800]: flatten it", "mat1"],
    ),
    "flatten of the batch, too": (
        [(FLATTEN, "torch.flatten(x)")],
        ["fc1 (Linear) gets a tensor [1600]; in the lesson [2, 800]", "mat1 and mat2 shapes"],
    ),
    "numbers in view": (
        [(FLATTEN, "x.view(-1, 16 * 5 * 5)")],
        ["fc1 (Linear) gets a tensor [4, 400]; in the lesson [2, 800]", "view()", "mat1 and mat2"],
    ),
    "numbers in view that do not fit": (
        [(FLATTEN, "x.view(-1, 32 * 6 * 6)")],
        ["invalid for input of size 1600", "That means: the numbers in view()"],
    ),
    "images that are counted": (
        [(FLATTEN, "x.view(2, -1)")],
        ["in train(), fc1 (Linear) gets a tensor [2, 400]; in the lesson [1, 800]"],
    ),
    "stride, and then an error": (
        [(CONV1, f"{CONV1}, stride=2")],
        ["conv1 (Conv2d): stride is 2; the lesson has 1.", "forward ends in an error", "mat1"],
    ),
    "attribute": (
        [("self.pool1(x)", "self.poll1(x)")],
        ["line", "self.poll1(x)", "AttributeError: 'LeNet' object has no attribute 'poll1'"],
    ),
    "super().__init__()": (
        [("        super().__init__()\n", "")],
        ["line", f"{CONV1})", "AttributeError", "That means: __init__ must begin with super()"],
    ),
    "forward misspelled": (
        [("def forward", "def foward")],
        ["NotImplementedError", "That means: forward is misspelled"],
    ),
    "self": (
        [("def forward(self, x: torch.Tensor)", "def forward(x: torch.Tensor)")],
        ["TypeError", "That means: the first argument of a method must be self."],
    ),
    "argument": (
        [("kernel_size=5", "kernal_size=5")],
        ["line", "16, kernal_size=5)", "unexpected keyword argument 'kernal_size'"],
    ),
    "syntax": (
        [(f"{CONV1})", f"{CONV1}")],
        ["line", CONV1, "SyntaxError: '(' was never closed"],
    ),
    "indentation": (
        [(f"        {CONV1}", f"       {CONV1}")],
        ["line", "IndentationError"],
    ),
    "import": (
        [("import torch\n", "import torhc\n")],
        ["line", "import torhc", "ModuleNotFoundError: No module named 'torhc'"],
    ),
    "exit": ([("import torch\n", "import torch\nexit('no')\n")], ["exit('no')", "SystemExit: no"]),
    "no_grad": (
        [("    def forward", "    @torch.no_grad()\n    def forward")],
        ["backward ends in an error", "That means: forward computes under no_grad()"],
    ),
    "overwritten in place": (
        [("x = F.relu(self.fc2(x))", "y = self.fc2(x)\n        x += 0\n        x = F.relu(y)")],
        ["backward ends in an error", "That means: a step in place"],
    ),
}


@pytest.mark.parametrize("mistake", ERRORS)
def test_her_own_errors_are_shown(mistake: str, tmp_path: Path) -> None:
    changes, words = ERRORS[mistake]
    result = answer(tmp_path, "LeNet", *changes)
    assert result.status == 1
    for word in words:
        assert word in result.out, (word, result.out)
    assert str(ROOT) not in result.out  # no line of ours


LINES = {
    "ReLU missing": "x = self.conv1(x)",
    "ReLU missing in a block": "x = self.conv(x)",
    "a block passed over": "x = self.inception4b(x)",
    "no shortcut": "out = self.bn2(out)",
    "downsample not applied": "out += identity",
    "downsample applied for nothing": "out += x",
    "branches swapped": "return torch.cat(outputs, dim=1)",
    "dropout missing in a head": "x = F.relu(self.fc1(x))",
    "a head at the wrong place": "aux1, aux2 = self.aux1(x), self.aux2(x)",
}


@pytest.mark.parametrize("mistake", LINES)
def test_the_line_to_look_at_is_in_the_forward_to_mend(mistake: str, tmp_path: Path) -> None:
    """Not in that of the block that comes before, or that the missing step would call."""
    name, changes, _ = MISTAKES[mistake]
    second = answer(tmp_path, name, *changes).out.splitlines()[1]
    assert second.startswith("Look at model.py, line ") and LINES[mistake] in second


def test_a_neighbour_is_imported(tmp_path: Path) -> None:
    parts = "from torch import nn\n\n\ndef conv():\n    return nn.Conv2d(3, 16, 5)\n"
    (tmp_path / "my_parts.py").write_text(parts, encoding="utf-8")
    changes = [("import torch\n", "import torch\nfrom my_parts import conv\n")]
    changes += [(f"{CONV1})", "self.conv1 = conv()")]
    assert answer(tmp_path, "LeNet", *changes).status == 0


def test_a_module_list_is_no_sequence(tmp_path: Path) -> None:
    result = answer(
        tmp_path, "resnet18", ("return nn.Sequential(*layers)", "return nn.ModuleList(layers)")
    )
    assert result.status == 1 and "x = self.layer1(" in result.out
    assert "That means: nn.ModuleList only holds layers" in result.out


def test_the_lessons_own_file_is_told_from_hers(lessons: Path) -> None:
    path = lessons / FOLDERS["LeNet"] / "model.py"
    result = call(check_model.main, Path("check_model.py"), path, "LeNet")
    assert result.status == 0 and "type yours in another folder" in result.out


def test_a_file_in_another_encoding(tmp_path: Path) -> None:
    text = (ROOT / "Test1_official_demo" / "model.py").read_text(encoding="utf-8")
    path = tmp_path / "model.py"
    path.write_bytes(f"{text}\nname = '模型'\n".encode("gbk"))
    result = call(check_model.main, Path("check_model.py"), path, "LeNet")
    assert result.status == 1 and "UTF-8" in result.out


def test_wrong_options_end_with_status_2(tmp_path: Path) -> None:
    path = tmp_path / "model.txt"
    path.write_text("", encoding="utf-8")
    for options in ([path, "LeNet"], [tmp_path, "LeNet"], [tmp_path / "no.py", "LeNet"], []):
        assert call(check_model.main, Path("check_model.py"), *options).status == 2
    result = call(check_model.main, Path("check_model.py"), ROOT / "README.md", "Resnet34")
    assert result.status == 2 and "resnet34" in result.err


def test_as_a_command_from_another_folder(tmp_path: Path) -> None:
    path = tmp_path / "mine" / "model.py"
    path.parent.mkdir()
    shutil.copy(ROOT / "Test1_official_demo" / "model.py", path)
    edit(path, (RELU1, "x = self.conv1(x)  # 卷积\n        #"))
    command = [sys.executable, ROOT / "tests" / "check_model.py", "mine/model.py", "LeNet"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}  # a console that lacks the signs
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and done.stderr == ""
    assert done.stdout.startswith("after conv1 (Conv2d) the lesson has ReLU")
    assert "x = self.conv1(x)  # ??" in done.stdout
    assert list(path.parent.iterdir()) == [path]
