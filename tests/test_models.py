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

# names and shapes of the course's weights, by the expression that makes the net
REFERENCE = json.loads((Path(__file__).parent / "state_dicts.json").read_text(encoding="utf-8"))

vgg_model = load("Test3_vggnet", "model")
GoogLeNet = load("Test4_googlenet", "model").GoogLeNet
resnets = load("Test5_resnet", "model").resnets
VGGS = {"vgg11": 133, "vgg13": 133, "vgg16": 138, "vgg19": 144}  # millions of parameters, table 2
VGG_KEYS = {"vgg11": "A", "vgg13": "B", "vgg16": "D", "vgg19": "E"}  # the table's columns
# thousands (1024) of weights in the column of table 1. There 4c and 5a do not fit the table's own
# six numbers: it has 463 and 1072, and they give 498 and 1018
INCEPTIONS = {"3a": 159, "3b": 380, "4a": 364, "4b": 437, "4d": 580, "4e": 840, "5b": 1388}


def build(name: str) -> nn.Module:
    """A net of the reference table."""
    folder, expression = name.split("/")
    return eval(expression, vars(load(folder, "model")))


def side_of(name: str) -> int:
    """The side of an input that the net computes quickly."""
    if "LeNet()" in name:
        return 32
    return 64 if "resn" in name else 224  # ResNets take any size


@pytest.mark.parametrize("name", REFERENCE)
def test_names_and_shapes_are_the_courses(name: str) -> None:
    with torch.device("meta"):
        net = build(name)
    found = {key: list(value.shape) for key, value in net.state_dict().items()}
    assert found == REFERENCE[name]


@pytest.mark.parametrize("name", REFERENCE)
def test_a_step_lowers_the_loss_on_its_batch(name: str) -> None:
    torch.manual_seed(0)
    name = re.sub(r'(".+)[)]', r"\1, width=64)", name)  # the VGGs, the slowest of all, with less
    net = build(name)
    labels = torch.tensor([3] if "vgg" in name else [0, 3])
    images = torch.randn(len(labels), 3, side_of(name), side_of(name))
    with torch.inference_mode():
        assert net.eval()(images).shape == (len(labels), 10 if "LeNet()" in name else 5)
    net.train()

    def loss() -> torch.Tensor:
        torch.manual_seed(1)  # the same dropout before and after
        outputs = net(images)
        if isinstance(outputs, tuple):  # GoogLeNet's and its heads'
            return sum(F.cross_entropy(output, labels) for output in outputs)
        return F.cross_entropy(outputs, labels)

    before = loss()
    before.backward()
    squares = [parameter.grad.square().sum().item() for parameter in net.parameters()]
    assert all(square > 0 for square in squares)
    lr = 0.01 / sum(squares)  # a step that should take 0.01 off the loss
    torch.optim.SGD(net.parameters(), lr=lr).step()
    with torch.no_grad():
        assert loss() < before


def test_alexnet_computes_what_the_paper_describes() -> None:
    torch.manual_seed(0)
    net = load("Test2_alexnet", "model").AlexNet(num_classes=1000, init_weights=True).eval()
    w = net.state_dict()

    def conv(x: torch.Tensor, layer: int, **options: int) -> torch.Tensor:
        weight, bias = w[f"features.{layer}.weight"], w[f"features.{layer}.bias"]
        return F.relu(F.conv2d(x, weight, bias, **options))

    def linear(x: torch.Tensor, layer: int) -> torch.Tensor:
        return F.linear(x, w[f"classifier.{layer}.weight"], w[f"classifier.{layer}.bias"])

    x = torch.randn(2, 3, 224, 224)
    y = F.max_pool2d(conv(x, 0, stride=4, padding=2), 3, 2)
    assert y.shape[1:] == (48, 27, 27)
    y = F.max_pool2d(conv(y, 3, padding=2), 3, 2)
    assert y.shape[1:] == (128, 13, 13)
    for layer in (6, 8, 10):
        y = conv(y, layer, padding=1)
    y = F.max_pool2d(y, 3, 2)
    assert y.shape[1:] == (128, 6, 6)
    y = F.relu(linear(y.flatten(1), 1))
    y = F.relu(linear(y, 4))
    torch.testing.assert_close(net(x), linear(y, 6))


def test_alexnets_dropout_and_initial_weights() -> None:
    torch.manual_seed(0)
    net = load("Test2_alexnet", "model").AlexNet(num_classes=1000, init_weights=True)
    assert [m.p for m in net.modules() if isinstance(m, nn.Dropout)] == [0.5, 0.5]
    x = torch.randn(2, 3, 224, 224)
    assert not torch.equal(net.train()(x), net(x))
    assert torch.equal(net.eval()(x), net(x))
    for m in net.modules():
        if isinstance(m, nn.Conv2d):  # Kaiming, fan out: 2 / (outputs that each input reaches)
            expected = 2 / (m.out_channels * m.kernel_size[0] ** 2)
            assert m.weight.var().item() == pytest.approx(expected, rel=0.1)
            assert not m.bias.any()
        if isinstance(m, nn.Linear):
            assert m.weight.std().item() == pytest.approx(0.01, rel=0.05)
            assert not m.bias.any()


def test_lenet_computes_what_the_lesson_describes_and_refuses_other_sizes() -> None:
    net = load("Test1_official_demo", "model").LeNet()
    w = net.state_dict()
    x = torch.randn(3, 3, 32, 32)
    y = F.max_pool2d(F.relu(F.conv2d(x, w["conv1.weight"], w["conv1.bias"])), 2)
    y = F.max_pool2d(F.relu(F.conv2d(y, w["conv2.weight"], w["conv2.bias"])), 2)
    y = F.relu(F.linear(y.reshape(3, 32 * 5 * 5), w["fc1.weight"], w["fc1.bias"]))
    y = F.relu(F.linear(y, w["fc2.weight"], w["fc2.bias"]))
    torch.testing.assert_close(net(x), F.linear(y, w["fc3.weight"], w["fc3.bias"]))
    for shape in ((1, 3, 28, 28), (4, 3, 64, 64), (1, 1, 32, 32), (3, 32, 32)):
        with pytest.raises(ValueError, match="32, 32"):
            net(torch.zeros(shape))


@pytest.mark.parametrize("name", VGGS)
def test_vgg_features_are_torchvisions(name: str) -> None:
    net = vgg_model.make_features(vgg_model.cfgs[name])
    theirs = vgg_of_torchvision.make_layers(vgg_of_torchvision.cfgs[VGG_KEYS[name]])
    net.load_state_dict(theirs.state_dict())
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(net(x), theirs(x))


@pytest.mark.parametrize("name", VGGS)
def test_vgg_with_the_papers_classifier_has_the_papers_parameters(name: str) -> None:
    with torch.device("meta"):
        net = vgg_model.vgg(name, num_classes=1000, width=4096)
        theirs = torchvision.models.get_model(name, weights=None)
    count = sum(parameter.numel() for parameter in net.parameters())
    assert count == sum(parameter.numel() for parameter in theirs.parameters())
    assert round(count / 1e6) == VGGS[name]


def test_vgg_initial_weights_and_an_unknown_name() -> None:
    torch.manual_seed(0)
    net = vgg_model.vgg("vgg11", init_weights=True)
    weight = net.features[8].weight
    assert weight.shape == (256, 256, 3, 3)
    xavier = 2 / (256 * 9 + 256 * 9)  # 2 / (inputs of an output + outputs of an input)
    assert weight.var().item() == pytest.approx(xavier, rel=0.02)
    assert not net.features[8].bias.any()
    assert not net.classifier[1].bias.any()
    with pytest.raises(ValueError, match="vgg11, vgg13, vgg16, vgg19"):
        vgg_model.vgg("vgg15")


def test_vgg_weights_of_torchvisions_form_are_converted() -> None:
    """Linear, ReLU, Dropout and 4096 wide, as the course's repository has it now."""
    theirs = torchvision.models.vgg11(weights=None, init_weights=False, num_classes=5).eval()
    weights = vgg_model.lesson_weights(theirs.state_dict())
    width = vgg_model.classifier_width(weights)
    with torch.device("meta"):
        net = vgg_model.vgg("vgg11", num_classes=5, width=width)
    net = net.to_empty(device="cpu").eval()
    net.load_state_dict(weights)
    x = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        assert torch.equal(net(x), theirs(x))
    assert list(vgg_model.lesson_weights(weights)) == list(weights)  # the lesson's own form stays


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
            m.conv.bias = nn.Parameter(torch.zeros(m.conv.out_channels))
            m.bn = nn.Identity()
    theirs.load_state_dict(net.state_dict())
    x = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        torch.testing.assert_close(net(x), theirs(x))


def test_googlenets_heads_compute_what_the_paper_describes() -> None:
    net = GoogLeNet(num_classes=5, init_weights=True).train()
    inputs = {}
    for name, before in (("aux1", net.inception4a), ("aux2", net.inception4d)):
        getattr(net, name).eval()  # without its dropout

        def note(module: nn.Module, _: object, out: torch.Tensor, name: str = name) -> None:
            inputs[name] = out

        before.register_forward_hook(note)
    with torch.inference_mode():
        _, aux2, aux1 = net(torch.randn(2, 3, 224, 224))
        for name, logits in (("aux1", aux1), ("aux2", aux2)):
            head = getattr(net, name)
            w = head.state_dict()
            y = F.avg_pool2d(inputs[name], 5, 3)
            y = F.relu(F.conv2d(y, w["conv.conv.weight"], w["conv.conv.bias"]))
            y = F.relu(F.linear(y.flatten(1), w["fc1.weight"], w["fc1.bias"]))
            torch.testing.assert_close(logits, F.linear(y, w["fc2.weight"], w["fc2.bias"]))
            with_dropout = head.train()(inputs[name])
            assert not torch.equal(with_dropout, logits)


def test_googlenets_heads_are_for_training_only() -> None:
    net = GoogLeNet(num_classes=5)
    without = GoogLeNet(num_classes=5, aux_logits=False)
    x = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        assert net.eval()(x).shape == (2, 5)
        assert without.train()(x).shape == (2, 5)
    names = {name for name in net.state_dict() if not name.startswith("aux")}
    assert names == set(without.state_dict())
    assert [m.p for m in without.modules() if isinstance(m, nn.Dropout)] == [0.4]


def test_googlenet_parameters_are_those_of_the_papers_table() -> None:
    net = GoogLeNet(num_classes=1000)
    for name, thousands in INCEPTIONS.items():
        block = getattr(net, f"inception{name}")
        count = sum(p.numel() for p in block.parameters() if p.dim() == 4)  # without the biases
        assert count / 1024 == pytest.approx(thousands, rel=0.02), name
    assert net.fc.weight.numel() + net.fc.bias.numel() == 1_025_000


@pytest.mark.parametrize("name", resnets)
def test_resnets_are_torchvisions(name: str) -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.get_model(name, weights=None, num_classes=11)
    with torch.device("meta"):  # it takes the other's weights
        net = resnets[name](num_classes=11)
    net = net.to_empty(device="cpu")
    assert list(net.state_dict()) == list(theirs.state_dict())
    net.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(net.eval()(x), theirs.eval()(x))
        assert torch.equal(net.train()(x), theirs.train()(x))
    assert same(net.state_dict(), theirs.state_dict())  # batch norm's means have moved alike


def test_a_resnet_without_its_top_gives_features() -> None:
    net = resnets["resnet18"](include_top=False).eval()
    with torch.inference_mode():
        assert net(torch.zeros(2, 3, 64, 64)).shape == (2, 512, 2, 2)


@pytest.mark.slow
@pytest.mark.accelerator
@pytest.mark.parametrize("name", [n for n in REFERENCE if re.search("Le|Alex|Goog|18|50[(]", n)])
def test_the_device_and_the_layout_change_nothing(name: str) -> None:
    """Output and gradient of a batch, on the machine's accelerator.

    Without one, on the CPU with the channels of a pixel side by side, as a learner may have them.
    """
    found = torch.accelerator.is_available()
    device = torch.accelerator.current_accelerator() if found else torch.device("cpu")
    layout = torch.contiguous_format if found else torch.channels_last
    torch.manual_seed(0)
    plain = build(name).eval()
    if device.type != "mps":
        plain.double()
    images = torch.randn(2, 3, side_of(name), side_of(name)).to(next(plain.parameters()).dtype)
    labels = torch.tensor([0, 3])
    other = copy.deepcopy(plain).to(device, memory_format=layout)
    F.cross_entropy(plain(images), labels).backward()
    F.cross_entropy(other(images.to(device)), labels.to(device)).backward()
    torch.testing.assert_close(other(images.to(device)).cpu(), plain(images), rtol=1e-4, atol=1e-5)
    for (key, mine), theirs in zip(plain.named_parameters(), other.parameters(), strict=True):
        if mine.grad is not None:  # GoogLeNet's heads are for training only
            torch.testing.assert_close(theirs.grad.cpu(), mine.grad, rtol=1e-4, atol=1e-5, msg=key)
