"""The scripts beside the lessons' own: what they show is what is there."""

import re
from pathlib import Path

import numpy as np
import plain
import pytest
import torch
from edits import Edits
from matplotlib.figure import Figure
from PIL import Image
from running import ROOT, Patch, Result, copy_lesson, edit, fails, load, run_here, works
from tiny import BODY, MODELS
from torch import nn
from torchvision import models


@pytest.fixture
def drawn(monkeypatch: Patch) -> list[Figure]:
    """The figures that are written."""
    figures = []
    write = Figure.savefig

    def keep(figure: Figure, path: Path, **options: object) -> None:
        write(figure, path, **options)
        figures.append(figure)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


# ---- cam.py ----

CAM = [plain.GOOGLENET, plain.RESNET]
# its feature maps are the picture's colours, 7 x 7 of each; so each class's map is known
COLORS = """
import torch
from torch import nn


class Colors(nn.Module):
    def __init__(self, num_classes=1000, aux_logits=False):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(7)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(3, num_classes)

    def forward(self, x):
        return self.fc(torch.flatten(self.avgpool(self.pool(x)), start_dim=1))


GoogLeNet = Colors
resnets = {"resnet34": Colors}
"""


def sum_of(result: Result, name: str) -> list[float]:
    """The logit of a class, the mean of its map and the bias, as they are printed."""
    (line,) = result.lines(f"class: {name}")
    numbers = re.search(r"logit: (\S+) = (\S+) \(mean of its map\) (\S+) \(bias\)", line)
    return [float(number) for number in numbers.groups()]


@pytest.mark.parametrize("folder", CAM)
def test_class_activation_maps_add_up_to_the_logits(folder: str) -> None:
    cam = load(folder, "cam")
    maps = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[0.0, 1.0], [0.0, 1.0]]])  # [2, 2, 2]
    fc = nn.Linear(2, 2)
    with torch.no_grad():
        fc.weight.copy_(torch.tensor([[1.0, -1.0], [0.5, 2.0]]))
        found = cam.class_activation_maps(maps, fc)
        assert found.tolist() == [[[1, 1], [3, 3]], [[0.5, 3], [1.5, 4]]]
        assert torch.allclose(found.mean(dim=(1, 2)) + fc.bias, fc(maps.mean(dim=(1, 2))))


@pytest.mark.parametrize("folder", CAM)
def test_the_map_lies_where_the_class_is(folder: str, tmp_path: Path, drawn: list[Figure]) -> None:
    """A picture that is red on the left and blue on the right, and a net that looks at colours."""
    copy = copy_lesson(folder, tmp_path)
    (copy / "model.py").write_text(COLORS, encoding="utf-8")
    weights = {"fc.weight": torch.eye(3)[[2, 0]], "fc.bias": torch.tensor([0.0, 1.0])}
    torch.save(weights, tmp_path / "net.pth")
    (tmp_path / "class_indices.json").write_text('{"0": "blue", "1": "red"}', encoding="utf-8")
    picture = Image.new("RGB", (280, 280), (0, 0, 200))
    picture.paste((200, 0, 0), (0, 0, 140, 280))
    picture.save(tmp_path / "a.png")
    (tmp_path / "bad.png").write_bytes(b"no image")
    options = ["--weights", tmp_path / "net.pth", "--save", tmp_path / "cam.png"]
    result = works(run_here(copy / "cam.py", tmp_path / "a.png", *options))
    assert result.lines("class: red") and result.lines("class: blue")
    logit, mean, bias = sum_of(result, "red")
    assert logit == pytest.approx(mean + bias, abs=0.002) and bias == 1
    (first, second, third), *_ = [[a for a in f.axes if a.images] for f in drawn]
    assert first.images[0].get_array().shape == (224, 224, 3)
    assert second.get_title().startswith("red 0.") and third.get_title().startswith("blue 0.")
    for axes, side in ((second, slice(0, 3)), (third, slice(4, 7))):
        heat = np.asarray(axes.images[1].get_array())
        other = slice(4, 7) if side.start == 0 else slice(0, 3)
        assert heat.shape == (7, 7) and heat[:, side].min() > heat[:, other].max()
    fails(run_here(copy / "cam.py", tmp_path / "bad.png", *options), "bad.png")


@pytest.mark.parametrize("folder", CAM)
def test_the_printed_sum_is_the_logit_of_the_lessons_net(folder: str, tmp_path: Path) -> None:
    copy = plain.quick_lesson(folder, tmp_path)
    net = plain.make_net(folder, 2, copy)
    torch.save(net.state_dict(), tmp_path / "net.pth")
    (tmp_path / "class_indices.json").write_text('{"0": "blue", "1": "red"}', encoding="utf-8")
    Image.new("RGB", (60, 50), (90, 10, 10)).save(tmp_path / "a.png")
    options = [*plain.QUICK[folder][1], "--save", tmp_path / "cam.png"]
    result = works(
        run_here(copy / "cam.py", tmp_path / "a.png", "--weights", tmp_path / "net.pth", *options)
    )
    with torch.no_grad():
        image = plain.transform(folder)(Image.open(tmp_path / "a.png"))
        logits = net.eval()(image[None])[0]
    for number, name in enumerate(("blue", "red")):
        logit, mean, bias = sum_of(result, name)
        assert logit == pytest.approx(logits[number].item(), abs=0.001)
        assert logit == pytest.approx(mean + bias, abs=0.002)


@pytest.mark.parametrize("folder", CAM)
@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("AdaptiveAvgPool2d(1)", "AdaptiveMaxPool2d(1)", "average pooling"),
        ("nn.Linear(3, num_classes)", "nn.Sequential(nn.Linear(3, num_classes))", "nn.Linear"),
        ("nn.Linear(3, num_classes)", "nn.Linear(3, num_classes, bias=False)", ""),
    ],
)
def test_a_net_that_has_been_changed(
    old: str, new: str, words: str, folder: str, tmp_path: Path
) -> None:
    copy = copy_lesson(folder, tmp_path)
    (copy / "model.py").write_text(COLORS.replace(old, new), encoding="utf-8")
    net = load(str(copy), "model").Colors(2)
    torch.save(net.state_dict(), tmp_path / "net.pth")
    (tmp_path / "class_indices.json").write_text('{"0": "blue", "1": "red"}', encoding="utf-8")
    picture = Image.new("RGB", (80, 80), (0, 0, 200))
    picture.paste((200, 0, 0), (0, 0, 40, 80))
    picture.save(tmp_path / "a.png")
    options = ["--weights", tmp_path / "net.pth", "--save", tmp_path / "cam.png"]
    result = run_here(copy / "cam.py", tmp_path / "a.png", *options)
    if words:
        fails(result, words)
    else:
        assert "+0.000 (bias)" in works(result).out


# ---- augmentation.py ----


def test_augmentation_shows_the_transforms_of_train_py(
    tmp_path: Path, data_set: Path, drawn: list[Figure]
) -> None:
    copy = copy_lesson(plain.ALEXNET, tmp_path)
    photo = data_set / "train" / "red" / "red_0.png"
    works(run_here(copy / "augmentation.py", photo))
    # the learner's own edit
    edits = Edits(copy / "train.py")
    start = '"train": transforms.Compose(\n        [\n'
    edits.replace(start, f"{start}            transforms.Grayscale(3),\n")
    result = works(run_here(copy / "augmentation.py", "--data-path", data_set))
    assert "train: (3, 224, 224)" in result.out and (copy / "augmentation.png").exists()
    colored, gray = ([axes.images[0].get_array() for axes in figure.axes] for figure in drawn)
    assert len(colored) == 10
    expected = plain.transform(plain.ALEXNET)(Image.open(photo)).permute(1, 2, 0).numpy()
    low, high = expected.min(), expected.max()
    assert np.allclose(colored[5], (expected - low) / (high - low), atol=1e-5)
    fails(run_here(copy / "augmentation.py", data_set), "it is a folder")
    draws = [image for number, image in enumerate(colored) if number not in (0, 5)]
    for number, image in enumerate(draws):
        assert not any(np.array_equal(image, other) for other in draws[:number])
    for number, image in enumerate(gray):
        is_gray = np.array_equal(image[..., 0], image[..., 2])
        assert is_gray == (number not in (0, 5))


# ---- find_lr.py ----


def test_find_lr_reads_a_known_curve() -> None:
    find_lr = load(plain.ALEXNET, "find_lr")
    rates = [10.0**power for power in range(-6, 1)]
    losses = [1.6, 1.6, 1.5, 1.0, 0.8, 0.9, 1.3]
    assert find_lr.falls_fastest(rates, losses) == rates[2]
    assert find_lr.falls_fastest(rates, [*losses[:6], 9.0]) == rates[2]
    # a fall from what has diverged is none
    assert find_lr.falls_fastest(rates, [1.6, 1.5, 1.4, 9.0, 2.0, 2.0, 2.0]) == rates[0]
    assert find_lr.falls_fastest(rates, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]) is None
    assert find_lr.diverges(rates, losses) == 1.0
    assert find_lr.diverges(rates[:6], losses[:6]) is None
    assert find_lr.smoothed([2.0, 2.0, 2.0]) == pytest.approx([2, 2, 2])
    assert find_lr.smoothed([1.0, 3.0], keep=0.5) == pytest.approx([1, 7 / 3])


def test_find_lr_raises_the_rate_in_every_step(
    tmp_path: Path, data_set: Path, drawn: list[Figure]
) -> None:
    copy = copy_lesson(plain.ALEXNET, tmp_path)
    (copy / "model.py").write_text(BODY + MODELS[plain.ALEXNET], encoding="utf-8")
    options = ["--data-path", data_set, "--batch-size", 3, "--steps", 13]
    result = works(run_here(copy / "find_lr.py", *options))
    assert "the lesson's is 0.0002" in result.out
    (axes,) = drawn[0].axes
    assert axes.xaxis.get_major_formatter()(1e-05) == "1e-05"
    rates = axes.lines[0].get_xdata()
    assert np.allclose(rates, [1e-6 * 10 ** (step / 2) for step in range(13)])
    assert axes.get_xscale() == "log"
    assert axes.lines[2].get_xdata()[0] == 0.0002
    assert run_here(copy / "find_lr.py", *options[:-1], 1).status == 2
    for script, more in (("find_lr.py", options), ("augmentation.py", options[:2])):
        works(run_here(copy / script, *more, "--output-dir", tmp_path / "out"))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "augmentation.png",
        "find_lr.png",
    ]


def test_find_lr_of_a_net_that_gives_no_number(tmp_path: Path, data_set: Path) -> None:
    copy = copy_lesson(plain.ALEXNET, tmp_path)
    body = BODY.replace("return self.fc(", "return float('nan') * self.fc(")
    (copy / "model.py").write_text(body + MODELS[plain.ALEXNET], encoding="utf-8")
    fails(run_here(copy / "find_lr.py", "--data-path", data_set, "--steps", 3), "nan")


# ---- the measurements on CIFAR-10 ----

MEASUREMENTS = {  # script: options that let it end soon
    "Test1_official_demo/compare_optimizers.py": ["--images", 40, "--epochs", 1, "--seeds", 2],
    "Test2_alexnet/overfitting.py": ["--images", 20, "--epochs", 2, "--seeds", 2],
    "Test5_resnet/degradation.py": ["--images", 4, "--epochs", 1, "--seeds", 2, "--clip", 5],
    "Test5_resnet/transfer_cifar.py": ["--images", 8, "--epochs", 1, "--seeds", 1],
}


@pytest.mark.slow
@pytest.mark.parametrize("script", MEASUREMENTS)
def test_measurements_end_with_a_picture(
    script: str, tmp_path: Path, cifar10: Path, drawn: list[Figure]
) -> None:
    """On a drawn CIFAR-10."""
    folder, name = script.split("/")
    copy = copy_lesson(folder, tmp_path)
    if name == "transfer_cifar.py":
        edit(copy / name, ("steps=100", "steps=2"))
    options = ["--data-path", cifar10, "--save", tmp_path / "picture.png", *MEASUREMENTS[script]]
    result = works(run_here(copy / name, *options))
    assert re.search(r"\d\.\d{3}", result.out)
    assert "nan" not in result.out
    assert len(drawn) == 1
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")

    assert run_here(copy / name, *options, "--seeds", 0).status == 2
    if folder != plain.LENET:  # whose script fetches the images
        missing = [*options, "--data-path", tmp_path / "nowhere"]
        result = run_here(copy / name, *missing)
        fails(result, "no CIFAR-10 in", Path(plain.LENET) / "train.py")


@pytest.mark.parametrize("layers", [20, 56])
def test_the_nets_of_the_degradation(layers: int) -> None:
    """6n + 2 layers with weights; some 0.27 and 0.85 million of them, as in the paper's table 6."""
    degradation = load(plain.RESNET, "degradation")
    plain_net = degradation.make_net(degradation.PlainBlock, layers)
    weighted = [m for m in plain_net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(weighted) == layers
    count = sum(parameter.numel() for parameter in plain_net.parameters())
    assert round(count / 1e6, 2) == {20: 0.27, 56: 0.85}[layers]

    # with all convolutions at 0 a block with a shortcut passes its input on, a plain one does not
    image = torch.rand(2, 3, 32, 32)
    for block, passes in ((degradation.BasicBlock, True), (degradation.PlainBlock, False)):
        net = degradation.make_net(block, layers).eval()
        first = net[:3](image)
        with torch.no_grad():
            for module in net[3].modules():
                if isinstance(module, nn.Conv2d):
                    module.weight.zero_()
        assert torch.equal(net[3](first), first) is passes


def test_clipped_gradients() -> None:
    """The norm is that of before; a step is no longer than learning rate times --clip."""
    degradation = load(plain.RESNET, "degradation")
    images = torch.randint(256, (20, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    images, labels = images.byte(), torch.arange(20) % 10
    norms, moved = {}, {}
    for clip in (float("inf"), 0.1):
        torch.manual_seed(0)
        net = degradation.make_net(degradation.PlainBlock, 20)
        before = nn.utils.parameters_to_vector(net.parameters()).clone()
        _, norms[clip] = degradation.train(net, images, labels, epochs=1, clip=clip)
        after = nn.utils.parameters_to_vector(net.parameters())
        moved[clip] = (after - before).norm().item()
    assert norms[0.1] == norms[float("inf")]
    assert len(norms[0.1]) == 1
    assert norms[0.1][0] > 0.1
    # weight decay adds 0.0001 of the weights
    longest = 0.05 * (0.1 + 0.0001 * before.norm().item())
    assert moved[0.1] <= longest * 1.001 < moved[float("inf")]


# ---- pictures of weights and of maps ----


def test_feature_maps(tmp_path: Path, drawn: list[Figure]) -> None:
    """The maps are conv1's for the picture; four kernels, or those that are asked for."""
    copy = copy_lesson(plain.LENET, tmp_path)
    torch.manual_seed(0)
    net = plain.make_net(plain.LENET, 10)
    torch.save(net.state_dict(), copy / "Lenet.pth")
    Image.new("RGB", (50, 40), (200, 30, 90)).save(tmp_path / "a.png")
    script = copy / "feature_maps.py"
    assert len(works(run_here(script)).lines("kernels drawn")[0].split(": ")[1].split()) == 4
    works(run_here(script, tmp_path / "a.png", "--kernels", 5, 0))
    rows = drawn[1].subfigs[0].subfigs[1].axes  # colour, grey, map, pooled map of each kernel
    assert [axes.get_ylabel() for axes in rows[::4]] == ["kernel 5", "kernel 0"]
    with torch.no_grad():
        picture = plain.transform(plain.LENET)(Image.new("RGB", (32, 32), (200, 30, 90)))
        expected = torch.relu(net.conv1(picture[None]))[0]
    for axes, number in ((rows[2], 5), (rows[6], 0)):
        shown = torch.as_tensor(np.asarray(axes.images[0].get_array()))
        torch.testing.assert_close(shown, expected[number])

    assert run_here(script, "--kernels", 16).status == 2
    (copy / "Lenet.pth").unlink()
    fails(run_here(script), "Lenet.pth", "train.py makes it")


def test_lenet_is_drawn_with_its_maps(tmp_path: Path, drawn: list[Figure]) -> None:
    copy = copy_lesson(plain.LENET, tmp_path)
    works(run_here(copy / "draw_net.py"))  # the boxes stay empty
    torch.manual_seed(0)
    torch.save(plain.make_net(plain.LENET, 10).state_dict(), copy / "Lenet.pth")
    works(run_here(copy / "draw_net.py"))
    images = [sum(len(axes.images) for axes in figure.axes) for figure in drawn]
    assert images == [1, 1 + 4 * 4 + 3]  # the picture; four maps of four layers, three vectors
    fails(run_here(copy / "draw_net.py", "--weights", tmp_path / "none.pth"), "none.pth")


def test_filters_beside_what_training_changed(tmp_path: Path, drawn: list[Figure]) -> None:
    copy = copy_lesson(plain.ALEXNET, tmp_path)
    load(plain.ALEXNET, "helpers").manual_seed(3)
    net = load(plain.ALEXNET, "model").AlexNet(num_classes=5, init_weights=True)
    change = torch.zeros(48, 3, 11, 11)
    change[7, 0, 2, 4] = 0.5
    with torch.no_grad():
        net.features[0].weight += change
    torch.save(net.state_dict(), copy / "AlexNet.pth")
    script = copy / "draw_filters.py"
    assert works(run_here(script, "--seed", 3)).lines("correlation of the first")
    assert "seed 4" in works(run_here(script, "--seed", 4)).out  # the first weights are others
    assert [len(figure.axes) for figure in drawn] == [2, 1]
    montage = drawn[0].axes[1].images[0].get_array()  # [71, 95, 3], eight filters in a row
    assert montage[2, 7 * 12 + 4, 0] == pytest.approx(1)  # filter 7: its one weight is full red
    assert montage[2, 7 * 12 + 4, 1] == pytest.approx(0.5)  # and grey is none

    torch.save(plain.make_net(plain.LENET, 10).state_dict(), tmp_path / "Lenet.pth")
    works(run_here(script, "--seed", 3, "--other", tmp_path / "Lenet.pth"))
    assert len(drawn[2].axes) == 3
    fails(run_here(script, "--weights", tmp_path / "Lenet.pth"), "Lenet.pth")


@pytest.mark.parametrize("name", ["vgg11", "vgg13", "vgg16", "vgg19"])
def test_the_multiply_adds_of_vgg_are_torchvisions(name: str) -> None:
    draw_net = load(plain.VGG, "draw_net")
    net = load(plain.VGG, "model").vgg(name, num_classes=1000, width=4096).eval()
    work = []
    for layer in (layer for column in draw_net.columns_of(net) for layer in column):
        layer.register_forward_hook(
            lambda layer, _, out: work.append(draw_net.multiply_adds(layer, out.shape[1:]))
        )
    with torch.no_grad():
        net(torch.zeros(1, 3, 224, 224))
    weights = models.get_model_weights(name).IMAGENET1K_V1
    assert round(sum(work) / 1e9, 3) == weights.meta["_ops"]


@pytest.mark.slow
def test_the_picture_of_the_first_page(tmp_path: Path) -> None:
    torch.save(plain.make_net(plain.ALEXNET, 2).state_dict(), tmp_path / "AlexNet.pth")
    (tmp_path / "class_indices.json").write_text('{"0": "daisy", "1": "roses"}', encoding="utf-8")
    Image.new("RGB", (50, 40), (200, 30, 90)).save(tmp_path / "a.png")
    options = ["--weights", tmp_path / "AlexNet.pth", "--save", tmp_path / "picture.png"]
    works(run_here(ROOT / "tests" / "draw_overview.py", tmp_path / "a.png", *options))
    assert Image.open(tmp_path / "picture.png").width == 830
    result = run_here(ROOT / "tests" / "draw_overview.py", tmp_path / "none.png", *options)
    assert result.status == 1
