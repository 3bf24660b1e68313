"""The networks: shapes, names, numbers, and one training step, against code that is not ours."""

import copy
import json
import re
from pathlib import Path

import pytest
import torch
import torchvision
from running import load, same
from torch import nn
from torch.nn import functional as F
from torchvision.models import vgg as vgg_of_torchvision

REFERENCE = json.loads((Path(__file__).parent / "state_dicts.json").read_text(encoding="utf-8"))

vgg = load("Test3_vggnet", "model").vgg
GoogLeNet = load("Test4_googlenet", "model").GoogLeNet
VGGS = {"vgg11": 133, "vgg13": 133, "vgg16": 138, "vgg19": 144}  # millions of parameters, table 2
RESNETS = [
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x8d",
]


def build(name: str) -> tuple[nn.Module, int]:
    """A net of the reference table, named by the expression that makes it, and the side of a quick input."""
    folder, expression = name.split("/")
    side = 32 if "LeNet()" in name else 64 if "resn" in name else 224  # ResNets take any size
    return eval(expression, vars(load(folder, "model"))), side


@pytest.mark.parametrize("name", REFERENCE)
def test_names_shapes_and_a_step_that_lowers_the_loss_on_its_batch(name: str) -> None:
    with torch.device("meta"):
        net, _ = build(name)
    assert {key: list(value.shape) for key, value in net.state_dict().items()} == REFERENCE[
        name
    ]  # the course's
    torch.manual_seed(0)
    net, side = build(
        re.sub(r'(".+)[)]', r"\1, width=64)", name)
    )  # the VGGs, the slowest of all, with less
    labels = torch.tensor([3] if "vgg" in name else [0, 3])
    images = torch.randn(len(labels), 3, side, side)
    with torch.inference_mode():
        assert net.eval()(images).shape == (len(labels), 10 if "LeNet()" in name else 5)
    net.train()

    def loss() -> torch.Tensor:
        torch.manual_seed(1)  # the same dropout before and after
        outputs = net(images)
        return sum(
            F.cross_entropy(o, labels)
            for o in (outputs if isinstance(outputs, tuple) else (outputs,))
        )

    before = loss()
    before.backward()
    squares = [parameter.grad.square().sum().item() for parameter in net.parameters()]
    assert all(square > 0 for square in squares)
    torch.optim.SGD(
        net.parameters(), lr=0.01 / sum(squares)
    ).step()  # a step that should take 0.01 off the loss
    with torch.no_grad():
        assert loss() < before


def test_alexnet_computes_what_the_paper_describes() -> None:
    torch.manual_seed(0)
    net = load("Test2_alexnet", "model").AlexNet(num_classes=1000, init_weights=True).eval()
    w = net.state_dict()

    def conv(x: torch.Tensor, layer: int, **options: int) -> torch.Tensor:
        return F.relu(
            F.conv2d(x, w[f"features.{layer}.weight"], w[f"features.{layer}.bias"], **options)
        )

    x = torch.randn(2, 3, 224, 224)
    one = F.max_pool2d(conv(x, 0, stride=4, padding=2), 3, 2)
    two = F.max_pool2d(conv(one, 3, padding=2), 3, 2)
    five = F.max_pool2d(conv(conv(conv(two, 6, padding=1), 8, padding=1), 10, padding=1), 3, 2)
    assert [list(y.shape[1:]) for y in (one, two, five)] == [
        [48, 27, 27],
        [128, 13, 13],
        [128, 6, 6],
    ]
    y = five.flatten(1)
    for layer in (1, 4, 6):
        y = F.linear(y, w[f"classifier.{layer}.weight"], w[f"classifier.{layer}.bias"])
        y = y if layer == 6 else F.relu(y)
    torch.testing.assert_close(net(x), y)
    assert [m.p for m in net.modules() if isinstance(m, nn.Dropout)] == [0.5, 0.5]
    assert not torch.equal(net.train()(x), net(x))
    for m in net.modules():
        if isinstance(
            m, nn.Conv2d
        ):  # Kaiming, fan out: the variance is 2 / (outputs that each input reaches)
            assert m.weight.var().item() == pytest.approx(
                2 / (m.out_channels * m.kernel_size[0] ** 2), rel=0.1
            )
        if isinstance(m, nn.Linear):
            assert m.weight.std().item() == pytest.approx(0.01, rel=0.05)
        assert not isinstance(m, nn.Conv2d | nn.Linear) or not m.bias.any()


def test_lenet_computes_what_the_lesson_describes_and_refuses_other_sizes() -> None:
    net = load("Test1_official_demo", "model").LeNet()
    w = net.state_dict()
    x = torch.randn(3, 3, 32, 32)
    y = F.max_pool2d(F.relu(F.conv2d(x, w["conv1.weight"], w["conv1.bias"])), 2)
    y = F.max_pool2d(F.relu(F.conv2d(y, w["conv2.weight"], w["conv2.bias"])), 2).reshape(
        3, 32 * 5 * 5
    )
    y = F.relu(
        F.linear(
            F.relu(F.linear(y, w["fc1.weight"], w["fc1.bias"])), w["fc2.weight"], w["fc2.bias"]
        )
    )
    torch.testing.assert_close(net(x), F.linear(y, w["fc3.weight"], w["fc3.bias"]))
    for shape in ((1, 3, 28, 28), (4, 3, 64, 64), (1, 1, 32, 32), (3, 32, 32)):
        with pytest.raises(ValueError, match="32, 32"):
            net(torch.zeros(shape))


@pytest.mark.parametrize(("name", "key"), [*zip(VGGS, "ABDE", strict=True)])
def test_vgg_features_are_torchvisions(name: str, key: str) -> None:
    model, x = load("Test3_vggnet", "model"), torch.randn(1, 3, 64, 64)
    net, theirs = (
        model.make_features(model.cfgs[name]),
        vgg_of_torchvision.make_layers(vgg_of_torchvision.cfgs[key]),
    )
    net.load_state_dict(theirs.state_dict())
    with torch.inference_mode():
        assert torch.equal(net(x), theirs(x))


def test_vgg_with_the_papers_classifier_has_the_papers_parameters() -> None:
    for name, millions in VGGS.items():
        with torch.device("meta"):
            nets = (
                vgg(name, num_classes=1000, width=4096),
                torchvision.models.get_model(name, weights=None),
            )
        counts = [sum(p.numel() for p in net.parameters()) for net in nets]
        assert counts[0] == counts[1] and round(counts[0] / 1e6) == millions


def test_vgg_initial_weights_and_an_unknown_name() -> None:
    torch.manual_seed(0)
    net = vgg("vgg11", init_weights=True)
    assert net.features[8].weight.var().item() == pytest.approx(
        1 / (256 * 9), rel=0.02
    )  # Xavier, 256 -> 256 channels
    assert not net.features[8].bias.any() and not net.classifier[1].bias.any()
    with pytest.raises(ValueError, match="vgg11, vgg13, vgg16, vgg19"):
        vgg("vgg15")


def test_vgg_weights_of_torchvisions_form_are_converted() -> None:
    """Linear, ReLU, Dropout and 4096 wide, as torchvision's and the course's repository in its present form."""
    model = load("Test3_vggnet", "model")
    theirs = torchvision.models.vgg11(weights=None, init_weights=False, num_classes=5).eval()
    weights = model.lesson_weights(theirs.state_dict())
    with torch.device("meta"):
        net = (
            vgg("vgg11", num_classes=5, width=model.classifier_width(weights))
            .to_empty(device="cpu")
            .eval()
        )
    net.load_state_dict(weights)
    x = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        assert torch.equal(net(x), theirs(x))
    assert list(model.lesson_weights(weights)) == list(
        weights
    )  # the lesson's own form stays as it is


def test_googlenet_is_torchvisions_but_for_three_points() -> None:
    """Which are not the paper's: 3x3 for 5x5, a last pooling of 2x2, and batch norm."""
    torch.manual_seed(0)
    net = GoogLeNet(num_classes=7, init_weights=True).eval()
    theirs = torchvision.models.GoogLeNet(num_classes=7, init_weights=False).eval()
    theirs.maxpool4 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
    for m in list(theirs.modules()):
        if type(m).__name__ == "Inception":
            conv = m.branch3[1].conv
            m.branch3[1].conv = nn.Conv2d(conv.in_channels, conv.out_channels, 5, padding=2)
        if hasattr(m, "bn"):
            m.conv.bias, m.bn = nn.Parameter(torch.zeros(m.conv.out_channels)), nn.Identity()
    theirs.load_state_dict(net.state_dict())
    x = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        torch.testing.assert_close(net(x), theirs(x))


def test_googlenets_heads_compute_what_the_paper_describes_and_in_training_only() -> None:
    net, inputs = GoogLeNet(num_classes=5, init_weights=True).train(), {}
    for name, before in (("aux1", "inception4a"), ("aux2", "inception4d")):
        getattr(net, name).eval()  # without its dropout
        getattr(net, before).register_forward_hook(
            lambda m, _, out, name=name: inputs.update({name: out})
        )
    x = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        _, *found = net(x)
        for name, logits in zip(("aux2", "aux1"), found, strict=True):
            w = getattr(net, name).state_dict()
            y = F.relu(
                F.conv2d(
                    F.avg_pool2d(inputs[name], 5, 3), w["conv.conv.weight"], w["conv.conv.bias"]
                )
            )
            y = F.relu(F.linear(y.flatten(1), w["fc1.weight"], w["fc1.bias"]))
            torch.testing.assert_close(logits, F.linear(y, w["fc2.weight"], w["fc2.bias"]))
            assert not torch.equal(
                getattr(net, name).train()(inputs[name]), logits
            )  # half of the values are dropped
        assert net.eval()(x).shape == (2, 5)
    assert [m.p for m in net.modules() if isinstance(m, nn.Dropout)].count(0.4) == 1
    without = GoogLeNet(num_classes=5, aux_logits=False)
    assert {name for name in net.state_dict() if not name.startswith("aux")} == set(
        without.state_dict()
    )
    assert without.train()(x).shape == (2, 5)


def test_googlenet_parameters_are_those_of_the_papers_table() -> None:
    """Table 1's column of weights, in units of 1024.

    Without 4c and 5a: there the table's 463 and 1072 do not fit its own six numbers, which give 498 and 1018.
    """
    net = GoogLeNet(num_classes=1000)
    for name, thousands in {
        "3a": 159,
        "3b": 380,
        "4a": 364,
        "4b": 437,
        "4d": 580,
        "4e": 840,
        "5b": 1388,
    }.items():
        count = sum(
            p.numel() for p in getattr(net, f"inception{name}").parameters() if p.dim() == 4
        )
        assert count / 1024 == pytest.approx(thousands, rel=0.02), name
    assert net.fc.weight.numel() + net.fc.bias.numel() == 1_025_000


@pytest.mark.parametrize("name", RESNETS)
def test_resnets_are_torchvisions(name: str) -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.get_model(name, weights=None, num_classes=11)
    build = getattr(load("Test5_resnet", "model"), name)
    with torch.device("meta"):  # it takes the other's weights
        net = build(num_classes=11).to_empty(device="cpu")
    assert list(net.state_dict()) == list(theirs.state_dict())
    net.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(net.eval()(x), theirs.eval()(x))
        assert torch.equal(net.train()(x), theirs.train()(x))
    assert same(
        net.state_dict(), theirs.state_dict()
    )  # the batch-norm statistics that training has moved, too
    if name == "resnet18":  # without its top it gives features
        assert build(include_top=False).eval()(x).shape == (2, 512, 2, 2)


@pytest.mark.accelerator
@pytest.mark.parametrize("name", [n for n in REFERENCE if re.search("Le|Alex|Goog|18|50[(]", n)])
def test_the_layout_and_the_device_change_nothing(name: str) -> None:
    """Output and gradient of a batch on the machine's accelerator, or on a CPU in train.py's memory layout."""
    found = torch.accelerator.is_available()
    device = torch.accelerator.current_accelerator() if found else torch.device("cpu")
    torch.manual_seed(0)
    net, side = build(name)
    plain = net.eval() if device.type == "mps" else net.double().eval()
    images, labels = (
        torch.randn(2, 3, side, side, dtype=next(plain.parameters()).dtype),
        torch.tensor([0, 3]),
    )
    other = copy.deepcopy(plain).to(
        device, memory_format=torch.contiguous_format if found else torch.channels_last
    )
    for net, place in ((plain, "cpu"), (other, device)):
        F.cross_entropy(net(images.to(place)), labels.to(place)).backward()
    torch.testing.assert_close(other(images.to(device)).cpu(), plain(images), rtol=1e-4, atol=1e-5)
    for (key, mine), theirs in zip(plain.named_parameters(), other.parameters(), strict=True):
        if mine.grad is not None:  # GoogLeNet's heads are for training only
            torch.testing.assert_close(theirs.grad.cpu(), mine.grad, rtol=1e-4, atol=1e-5, msg=key)
