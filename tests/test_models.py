"""The networks: shapes, names, numbers, and one training step, against code that is not ours."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import load
from torch import nn
from torch.nn import functional as F

REFERENCE = json.loads((Path(__file__).parent / "state_dicts.json").read_text(encoding="utf-8"))


def alexnet(num_classes: int = 5, **options: object) -> nn.Module:
    return load("Test2_alexnet", "model").AlexNet(num_classes=num_classes, **options)


# name in the reference table: (how to build the net for five classes, its input's side, the lesson's learning rate)
NETS: dict[str, tuple[Callable[[], nn.Module], int, float]] = {
    "Test2_alexnet/AlexNet(num_classes=5)": (alexnet, 224, 0.0002),
}


@pytest.mark.parametrize("name", NETS)
def test_parameter_names_and_shapes_are_the_courses(name: str) -> None:
    build, _, _ = NETS[name]
    assert {key: list(value.shape) for key, value in build().state_dict().items()} == REFERENCE[name]


@pytest.mark.parametrize("name", NETS)
def test_output_shape(name: str) -> None:
    build, side, _ = NETS[name]
    net = build().eval()
    with torch.inference_mode():
        assert net(torch.randn(2, 3, side, side)).shape == (2, *list(net.state_dict().values())[-1].shape)


@pytest.mark.parametrize("name", NETS)
def test_a_training_step_lowers_the_loss_on_its_batch(name: str) -> None:
    build, side, lr = NETS[name]
    torch.manual_seed(0)
    net = build().train()
    images, labels = torch.randn(4, 3, side, side), torch.tensor([0, 1, 2, 3])
    optimizer = torch.optim.Adam(net.parameters(), lr=lr)

    def loss() -> torch.Tensor:
        torch.manual_seed(1)  # the same dropout before and after
        return F.cross_entropy(net(images), labels)

    before = loss()
    before.backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in net.parameters())
    optimizer.step()
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


def test_alexnet_drops_half_of_both_hidden_layers_in_training_only() -> None:
    net = alexnet()
    assert [m.p for m in net.modules() if isinstance(m, nn.Dropout)] == [0.5, 0.5]
    x = torch.randn(1, 3, 224, 224)
    assert not torch.equal(net.train()(x), net(x))
    assert torch.equal(net.eval()(x), net(x))


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
