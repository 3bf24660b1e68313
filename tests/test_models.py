"""The networks: shapes, names, numbers, and one training step, against code that is not ours."""

import copy
import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
import torchvision
from conftest import load
from torch import nn
from torch.nn import functional as F

REFERENCE = json.loads((Path(__file__).parent / "state_dicts.json").read_text(encoding="utf-8"))


def model(folder: str, name: str, *args: object, **options: object) -> nn.Module:
    return getattr(load(folder, "model"), name)(*args, **options)


lenet = partial(model, "Test1_official_demo", "LeNet")
alexnet = partial(model, "Test2_alexnet", "AlexNet", num_classes=5)
vgg = partial(model, "Test3_vggnet", "vgg", num_classes=5)
googlenet = partial(model, "Test4_googlenet", "GoogLeNet", num_classes=5)
resnet = partial(model, "Test5_resnet", num_classes=5)

VGGS = ["vgg11", "vgg13", "vgg16", "vgg19"]
RESNETS = ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d", "resnext101_32x8d"]

# name in the reference table: (how to build the net for five classes, its input's side)
NETS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "Test1_official_demo/LeNet()": (lenet, 32),
    "Test2_alexnet/AlexNet(num_classes=5)": (alexnet, 224),
    **{f'Test3_vggnet/vgg("{name}", num_classes=5)': (partial(vgg, name), 224) for name in VGGS},
    "Test4_googlenet/GoogLeNet(num_classes=5, aux_logits=True)": (googlenet, 224),
    **{f"Test5_resnet/{name}(num_classes=5)": (partial(resnet, name), 224) for name in RESNETS},
}


def shapes(net: nn.Module) -> dict[str, list[int]]:
    return {name: list(value.shape) for name, value in net.state_dict().items()}


@pytest.mark.parametrize("name", REFERENCE)
def test_names_shapes_and_a_step_that_lowers_the_loss_on_its_batch(name: str) -> None:
    build, side = NETS[name]
    side = 64 if "resn" in name else side  # these take any size, and are the slowest
    torch.manual_seed(0)
    net = build()
    assert shapes(net) == REFERENCE[name]  # the course's
    images, labels = torch.randn(2, 3, side, side), torch.tensor([0, 3])
    if "vgg" in name:
        images, labels = images[:1], labels[:1]  # these are the slowest of all
    with torch.inference_mode():
        assert net.eval()(images).shape == (len(images), 10 if name.startswith("Test1") else 5)
    net.train()

    def loss() -> torch.Tensor:
        torch.manual_seed(1)  # the same dropout before and after
        outputs = net(images)
        return sum(F.cross_entropy(o, labels) for o in (outputs if isinstance(outputs, tuple) else (outputs,)))

    before = loss()
    before.backward()
    squares = [parameter.grad.square().sum().item() for parameter in net.parameters()]
    assert all(square > 0 for square in squares)
    torch.optim.SGD(net.parameters(), lr=0.01 / sum(squares)).step()  # a step that should take 0.01 off the loss
    with torch.no_grad():
        assert loss() < before


def test_alexnet_computes_what_the_paper_describes() -> None:
    net = alexnet(num_classes=7, init_weights=True).eval()
    w = net.state_dict()
    x = torch.randn(2, 3, 224, 224)

    y = F.max_pool2d(F.relu(F.conv2d(x, w["features.0.weight"], w["features.0.bias"], stride=4, padding=2)), 3, 2)
    assert y.shape == (2, 48, 27, 27)
    y = F.max_pool2d(F.relu(F.conv2d(y, w["features.3.weight"], w["features.3.bias"], padding=2)), 3, 2)
    assert y.shape == (2, 128, 13, 13)
    for layer in (6, 8, 10):
        y = F.relu(F.conv2d(y, w[f"features.{layer}.weight"], w[f"features.{layer}.bias"], padding=1))
    y = F.max_pool2d(y, 3, 2).reshape(2, -1)
    assert y.shape == (2, 128 * 6 * 6)
    for layer in (1, 4):
        y = F.relu(y @ w[f"classifier.{layer}.weight"].T + w[f"classifier.{layer}.bias"])
    y = y @ w["classifier.6.weight"].T + w["classifier.6.bias"]

    torch.testing.assert_close(net(x), y)
    assert [m.p for m in net.modules() if isinstance(m, nn.Dropout)] == [0.5, 0.5]
    assert not torch.equal(net.train()(x), net(x))


def test_alexnet_initial_weights() -> None:
    torch.manual_seed(0)
    net = alexnet(num_classes=1000, init_weights=True)
    for m in net.modules():
        if isinstance(m, nn.Conv2d):  # He, fan out: the variance is 2 / (outputs that each input reaches)
            expected = (2 / (m.out_channels * m.kernel_size[0] ** 2)) ** 0.5
            assert m.weight.std().item() == pytest.approx(expected, rel=0.05)
        if isinstance(m, nn.Linear):
            assert m.weight.std().item() == pytest.approx(0.01, rel=0.05)
        if isinstance(m, nn.Conv2d | nn.Linear):
            assert not m.bias.any()


def test_lenet_computes_what_the_lesson_describes_and_refuses_other_sizes() -> None:
    net = lenet()
    w = net.state_dict()
    x = torch.randn(3, 3, 32, 32)
    y = F.max_pool2d(F.relu(F.conv2d(x, w["conv1.weight"], w["conv1.bias"])), 2)
    y = F.max_pool2d(F.relu(F.conv2d(y, w["conv2.weight"], w["conv2.bias"])), 2).reshape(3, 32 * 5 * 5)
    y = F.relu(y @ w["fc1.weight"].T + w["fc1.bias"])
    y = F.relu(y @ w["fc2.weight"].T + w["fc2.bias"])
    torch.testing.assert_close(net(x), y @ w["fc3.weight"].T + w["fc3.bias"])
    for shape in ((1, 3, 28, 28), (4, 3, 64, 64), (1, 1, 32, 32), (3, 32, 32)):
        with pytest.raises(ValueError, match="32, 32"):
            net(torch.zeros(shape))


@pytest.mark.parametrize("name", VGGS)
def test_vgg_features_are_torchvisions(name: str) -> None:
    theirs = torchvision.models.get_model(name, weights=None, init_weights=False).features.eval()
    net = vgg(name).eval()
    net.features.load_state_dict(theirs.state_dict())
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(net.features(x), theirs(x))


# the paper's table 2, in millions
@pytest.mark.parametrize(("name", "millions"), [("vgg11", 133), ("vgg13", 133), ("vgg16", 138), ("vgg19", 144)])
def test_vgg_with_the_papers_classifier_has_the_papers_parameters(name: str, millions: int) -> None:
    with torch.device("meta"):
        net = vgg(name, num_classes=1000, width=4096)
        theirs = torchvision.models.get_model(name, weights=None)
    count = sum(p.numel() for p in net.parameters())
    assert round(count / 1e6) == millions
    assert count == sum(p.numel() for p in theirs.parameters())


def test_vgg_initial_weights_and_an_unknown_name() -> None:
    torch.manual_seed(0)
    net = vgg("vgg11", init_weights=True)
    assert net.features[8].weight.var().item() == pytest.approx(1 / (256 * 9), rel=0.02)  # Xavier, 256 -> 256 channels
    assert not net.features[8].bias.any() and not net.classifier[1].bias.any()
    with pytest.raises(ValueError, match="vgg11, vgg13, vgg16, vgg19"):
        vgg("vgg15")


def test_vgg_weights_of_torchvisions_form_are_converted() -> None:
    """Linear, ReLU, Dropout and 4096 wide, as torchvision's and the course's repository in its present form."""
    model = load("Test3_vggnet", "model")
    theirs = torchvision.models.vgg11(weights=None, init_weights=False, num_classes=5).eval()
    weights = model.lesson_weights(theirs.state_dict())
    net = vgg("vgg11", width=model.classifier_width(weights)).eval()
    net.load_state_dict(weights)
    x = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        assert torch.equal(net(x), theirs(x))
    assert list(model.lesson_weights(weights)) == list(weights)  # the lesson's own form stays as it is


def test_googlenet_is_torchvisions_but_for_three_points() -> None:
    """torchvision's differs in three points from the paper: 3x3 for 5x5, a last pooling of 2x2, and batch norm."""
    torch.manual_seed(0)
    net = googlenet(num_classes=7, init_weights=True).eval()
    options = {"transform_input": False, "init_weights": False, "num_classes": 7}
    theirs = torchvision.models.googlenet(weights=None, aux_logits=True, **options).eval()
    theirs.maxpool4 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
    for m in list(theirs.modules()):
        if type(m).__name__ == "Inception":
            conv = m.branch3[1].conv
            m.branch3[1].conv = nn.Conv2d(conv.in_channels, conv.out_channels, 5, padding=2)
        if hasattr(m, "bn"):
            m.conv.bias, m.bn = nn.Parameter(torch.zeros(m.conv.out_channels)), nn.Identity()
    theirs.load_state_dict(net.state_dict())
    sizes: dict[str, torch.Size] = {}
    for name, m in net.named_children():
        m.register_forward_hook(lambda m, _, out, name=name: sizes.update({name: out.shape[1:]}))
    x = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        torch.testing.assert_close(net(x), theirs(x))
    assert sizes["inception3b"] == (480, 28, 28) and sizes["inception4e"] == (832, 14, 14)
    assert sizes["inception5b"] == (1024, 7, 7)


def test_the_auxiliary_heads_compute_what_the_paper_describes() -> None:
    net = googlenet(num_classes=7, init_weights=True).train()
    for head in (net.aux1, net.aux2):
        head.eval()  # without its dropout
    inputs: dict[str, torch.Tensor] = {}
    for name, before in (("aux1", "inception4a"), ("aux2", "inception4d")):
        getattr(net, before).register_forward_hook(lambda m, _, out, name=name: inputs.update({name: out}))
    with torch.inference_mode():
        _, *found = net(torch.randn(2, 3, 224, 224))
        for name, logits in zip(("aux2", "aux1"), found, strict=True):
            w = getattr(net, name).state_dict()
            y = F.relu(F.conv2d(F.avg_pool2d(inputs[name], 5, 3), w["conv.conv.weight"], w["conv.conv.bias"]))
            y = F.relu(F.linear(y.flatten(1), w["fc1.weight"], w["fc1.bias"]))
            torch.testing.assert_close(logits, F.linear(y, w["fc2.weight"], w["fc2.bias"]))
    assert [m.p for m in net.modules() if isinstance(m, nn.Dropout)].count(0.4) == 1


def test_googlenet_heads_are_there_in_training_only() -> None:
    net = googlenet()
    x = torch.randn(2, 3, 224, 224)
    assert len(net.train()(x)) == 3
    assert net.eval()(x).shape == (2, 5)
    middle = torch.rand(1, 512, 14, 14)  # the heads drop half of their values
    assert not torch.equal(net.aux1.train()(middle), net.aux1(middle))
    assert torch.equal(net.aux1.eval()(middle), net.aux1(middle))
    without = googlenet(aux_logits=False)
    assert without.train()(x).shape == (2, 5)
    assert set(net.state_dict()) - set(without.state_dict()) == {
        f"aux{i}.{name}" for i in (1, 2) for name in
        ("conv.conv.weight", "conv.conv.bias", "fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias")
    }  # fmt: skip


def test_googlenet_parameters_are_those_of_the_papers_table() -> None:
    """Table 1's column of weights, in units of 1024.

    Without 4c and 5a: there the table's 463 and 1072 do not fit its own six numbers, which give 498 and 1018.
    """
    table = {
        "inception3a": 159, "inception3b": 380, "inception4a": 364, "inception4b": 437, "inception4d": 580,
        "inception4e": 840, "inception5b": 1388,
    }  # fmt: skip
    net = googlenet(num_classes=1000)
    for name, thousands in table.items():
        count = sum(p.numel() for p in getattr(net, name).parameters() if p.dim() == 4)
        assert count / 1024 == pytest.approx(thousands, rel=0.02), name
    assert net.fc.weight.numel() + net.fc.bias.numel() == 1_025_000


@pytest.mark.parametrize("name", RESNETS)
def test_resnets_are_torchvisions(name: str) -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.get_model(name, weights=None, num_classes=11)
    net = resnet(name, num_classes=11)
    assert list(shapes(net).items()) == list(shapes(theirs).items())
    net.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(net.eval()(x), theirs.eval()(x))
        assert torch.equal(net.train()(x), theirs.train()(x))
    for (key, mine), value in zip(net.state_dict().items(), theirs.state_dict().values(), strict=True):
        assert torch.equal(mine, value), key  # the batch-norm statistics that training has moved


def test_resnet_without_its_top_gives_features() -> None:
    net = resnet("resnet18", include_top=False).eval()
    assert "fc.weight" not in net.state_dict()
    with torch.inference_mode():
        assert net(torch.randn(1, 3, 224, 224)).shape == (1, 512, 7, 7)


@pytest.mark.accelerator
@pytest.mark.parametrize("name", [n for n in NETS if re.search("Le|Alex|Goog|18|50[(]", n)])
def test_the_layout_and_the_device_change_nothing(name: str) -> None:
    """Output and gradient of a batch on the machine's accelerator, or on a CPU in train.py's memory layout."""
    build, side = NETS[name]
    found = torch.accelerator.is_available()
    device = torch.accelerator.current_accelerator() if found else torch.device("cpu")
    torch.manual_seed(0)
    side = 64 if "resn" in name else side
    plain = build().double().eval() if device.type != "mps" else build().eval()
    images, labels = torch.randn(2, 3, side, side, dtype=next(plain.parameters()).dtype), torch.tensor([0, 3])
    other = copy.deepcopy(plain).to(device, memory_format=torch.contiguous_format if found else torch.channels_last)
    for net, place in ((plain, "cpu"), (other, device)):
        F.cross_entropy(net(images.to(place)), labels.to(place)).backward()
    torch.testing.assert_close(other(images.to(device)).cpu(), plain(images), rtol=1e-4, atol=1e-5)
    for (key, mine), theirs in zip(plain.named_parameters(), other.parameters(), strict=True):
        if mine.grad is not None:  # GoogLeNet's heads are for training only
            torch.testing.assert_close(theirs.grad.cpu(), mine.grad, rtol=1e-4, atol=1e-5, msg=key)
