"""Each lesson does what it promises: training, transforms, predictions, options."""

import contextlib
import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock, call

import plain
import pytest
import torch
import torchvision
from drawn import COLORS, draw_data_set
from PIL import Image
from running import (
    ROOT,
    Patch,
    Result,
    copy_lesson,
    edit,
    fails,
    load,
    no_pictures,
    run_here,
    same,
    start,
    works,
)
from torch.utils.data import TensorDataset
from torchvision import datasets

CIFAR10_CLASSES = ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


class Trained:
    """A lesson after two epochs, and what it was given."""

    def __init__(self, folder: str, place: Path, data: Path):
        self.folder = folder
        self.data = data
        self.out = place / "out"
        self.script = plain.quick_lesson(folder, place) / "train.py"
        if folder == plain.LENET:  # several batches of 40 test images
            edit(self.script, ("batch_size=200", "batch_size=16"))
        weights, self.predict_options, self.train_options = plain.QUICK[folder]
        self.weights = self.out / weights
        self.last_name = f"{self.weights.stem}_last.pth"
        self.train(self.out, "--epochs", 2)

    def train(self, out: Path, *options: object) -> Result:
        fixed = ["--data-path", self.data, "--output-dir", out, "--batch-size", 4]
        fixed += ["--workers", 0, "--seed", 3]
        with no_pictures():
            return works(run_here(self.script, *fixed, *self.train_options, *options))

    def predict(self, *options: object, script: str = "predict.py") -> Result:
        path = self.script.with_name(script)
        return run_here(path, *options, "--output-dir", self.out, *self.predict_options)


@pytest.fixture(scope="module")
def trained(folder: str, tmp_path_factory: pytest.TempPathFactory, cifar10: Path) -> Trained:
    data = cifar10
    if folder != plain.LENET:
        data = draw_data_set(tmp_path_factory.mktemp("flowers"), COLORS, train=2, val=2)
    return Trained(folder, tmp_path_factory.mktemp(folder), data)


@pytest.fixture
def autocast(monkeypatch: Patch) -> Mock:
    """In place of torch.autocast, of which only the switch is looked at here."""
    mock = Mock(return_value=contextlib.nullcontext())
    monkeypatch.setattr(torch, "autocast", mock)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    return mock


def test_training_is_that_of_a_plain_loop(folder: str, trained: Trained) -> None:
    """On the same batches, and from the same weights.

    So net, loss, optimizer and counting are compared.
    """
    helpers = load(folder, "helpers")
    helpers.manual_seed(3)
    if folder == plain.LENET:
        transform = plain.transform(folder)
        train_set = datasets.CIFAR10(trained.data, train=True, transform=transform)
        val_set = datasets.CIFAR10(trained.data, train=False, transform=transform)
        read_once = next(iter(helpers.DataLoader(val_set, batch_size=len(val_set))))
        val_set = TensorDataset(*read_once)
    else:
        train_set = helpers.ImageFolder(trained.data / "train", plain.transform(folder, train=True))
        val_set = helpers.ImageFolder(trained.data / "val", plain.transform(folder))
    train_loader = helpers.DataLoader(train_set, batch_size=4, shuffle=True)
    val_loader = helpers.DataLoader(val_set, batch_size=4)

    net = plain.make_net(folder, 3, trained.script.parent)
    expected = plain.train(
        folder,
        net,
        (train_loader, val_loader),
        epochs=2,
        fused=True,
        before_epoch=lambda epoch: helpers.manual_seed(3000 + epoch + 1),
    )
    part = "test" if folder == plain.LENET else "val"
    history = torch.load(trained.out / trained.last_name, weights_only=True)["history"]
    for row, wanted in zip(history, expected, strict=True):
        found = row["train_loss"], row[f"{part}_loss"], row[f"{part}_accuracy"]
        assert found == pytest.approx(wanted, abs=1e-5)


def test_a_resumed_run_ends_as_a_straight_one(trained: Trained, tmp_path: Path) -> None:
    trained.train(tmp_path, "--epochs", 1)
    result = trained.train(tmp_path, "--epochs", 2, "--resume")
    assert len(result.lines("[epoch 2]")) == 1
    assert result.lines("[epoch 1]") == []
    for name in (trained.weights.name, trained.last_name):
        straight = torch.load(trained.out / name, weights_only=True)
        resumed = torch.load(tmp_path / name, weights_only=True)
        for state in (straight, resumed):
            state.pop("options", None)  # they name the folders
        assert same(straight, resumed)


@pytest.mark.slow
def test_autocast_is_on_with_amp_alone(trained: Trained, tmp_path: Path, autocast: Mock) -> None:
    """--resume does not take it over from the run that is resumed, but says so."""

    def switches() -> set[bool]:
        found = {switch.kwargs["enabled"] for switch in autocast.call_args_list}
        autocast.reset_mock()
        return found

    trained.train(tmp_path, "--epochs", 1, "--amp")
    assert autocast.call_args.args == ("cpu", torch.bfloat16)
    assert switches() == {True}
    result = trained.train(tmp_path, "--epochs", 2, "--resume")
    assert switches() == {False}
    assert "--amp" in result.lines("resumed")[0]


def test_predict_gives_the_nets_probabilities(
    folder: str, trained: Trained, tmp_path: Path
) -> None:
    photos = draw_data_set(tmp_path, COLORS, train=1, val=1) / "val"
    images = sorted(photos.rglob("*.png"))
    result = works(trained.predict(photos, images[0], "--save", tmp_path / "a.png"))
    lines = result.out.splitlines()
    answers = [i for i, line in enumerate(lines) if line.startswith("image: ")]
    names = [re.search(r"image: (\S+)", lines[i])[1] for i in answers]
    assert names == [path.name for path in [*images, images[0]]]

    net = plain.make_net(folder, 3, trained.script.parent).eval()
    net.load_state_dict(torch.load(trained.weights, weights_only=True))
    for i, path in zip(answers, images, strict=False):
        with torch.no_grad(), Image.open(path) as image:
            # computed here, with the transform that the lesson promises
            logits = net(plain.transform(folder)(image)[None])[0]
        expected = torch.softmax(logits, dim=0).tolist()
        of_each_class = lines[i + 1 : i + 1 + len(expected)]
        found = [float(line.split()[-1]) for line in of_each_class]
        assert found == pytest.approx(expected, abs=6e-4)
        best = of_each_class[int(logits.argmax())].split()[1]
        answer = re.search(r"class: (\S+) +prob: ([\d.]+)", lines[i])
        assert answer[1] == best
        assert float(answer[2]) == max(found)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_predict_without_an_image(folder: str, trained: Trained, tmp_path: Path) -> None:
    """It takes one of the validation set, and says what it shows."""
    result = works(trained.predict("--data-path", trained.data))
    assert (trained.out / f"{trained.weights.stem}_prediction.png").exists()
    line = result.lines("image: ")[0]
    true = re.search(r"true class: (\w+)", line)[1]
    if folder == plain.LENET:
        name = re.search(r"image: (\S+) ", line)[1]
        number = int(re.search(r"test image (\d+)", line)[1])
        image, label = datasets.CIFAR10(trained.data, train=False)[number]
        assert true == CIFAR10_CLASSES[label]
        with Image.open(trained.out / name) as shown:
            assert shown.tobytes() == image.tobytes()
    else:
        assert line.startswith(f"image: {true}_")
        other = draw_data_set(tmp_path / "other", ("blue", "cyan", "red"), train=1, val=1)
        fails(trained.predict("--data-path", other), "other classes", other)


@pytest.mark.parametrize("folder", [plain.VGG], indirect=True)
def test_vgg_predicts_with_weights_of_torchvisions_form(trained: Trained, tmp_path: Path) -> None:
    """Whose classifier has no Dropout first, so that its layers have other numbers."""
    theirs = {}
    for name, value in torch.load(trained.weights, weights_only=True).items():
        name = name.replace("classifier.1.", "classifier.0.")
        name = name.replace("classifier.4.", "classifier.3.")
        theirs[name] = value
    torch.save(theirs, tmp_path / "vgg.pth")
    shutil.copy(trained.out / "class_indices.json", tmp_path)
    photo = trained.data / "val" / "red" / "red_0.png"
    result = works(trained.predict(photo, "--weights", tmp_path / "vgg.pth"))
    assert result.lines("class: ") == works(trained.predict(photo)).lines("class: ")


@pytest.mark.parametrize("folder", [plain.GOOGLENET], indirect=True)
def test_googlenet_predicts_without_the_heads_alone(trained: Trained, tmp_path: Path) -> None:
    """Their weights may be in the file or not; every other name must be in it."""
    weights = torch.load(trained.weights, weights_only=True)
    shutil.copy(trained.out / "class_indices.json", tmp_path)
    photo = trained.data / "val" / "red" / "red_0.png"
    expected = works(trained.predict(photo)).lines("class: ")

    without_heads = {name: weights[name] for name in weights if not name.startswith("aux")}
    assert len(without_heads) < len(weights)
    torch.save(without_heads, tmp_path / "other.pth")
    result = works(trained.predict(photo, "--weights", tmp_path / "other.pth"))
    assert result.lines("class: ") == expected
    for changed in ("conv2.conv.weight", "conv4.conv.weight"):  # the second is not the net's
        other = dict(weights)
        other[changed] = other.pop("conv3.conv.weight")
        torch.save(other, tmp_path / "other.pth")
        fails(trained.predict(photo, "--weights", tmp_path / "other.pth"), "conv3.conv.weight")


@pytest.mark.slow
def test_lenet_tests_every_500_steps(tmp_path: Path, cifar10: Path, monkeypatch: Patch) -> None:
    """On the first 5,000 of the test images; on all of them at the end of the epoch."""
    init = datasets.CIFAR10.__init__

    def larger(self: datasets.CIFAR10, *args: object, **options: object) -> None:
        init(self, *args, **options)
        times = 5 if self.train else 150  # 500 and 6,000 images
        self.data = self.data.repeat(times, axis=0)
        self.targets = [target for target in self.targets for _ in range(times)]

    monkeypatch.setattr(datasets.CIFAR10, "__init__", larger)
    options = ["--data-path", cifar10, "--output-dir", tmp_path, "--epochs", 1, "--batch-size", 1]
    with no_pictures():
        result = works(run_here(ROOT / plain.LENET / "train.py", *options))
    line = r"^\[1,   500\] train_loss: (\d+\.\d{3})  test_accuracy: (\d\.\d{3})$"
    lines = re.findall(line, result.out, re.MULTILINE)
    assert len(lines) == 1
    train_loss, accuracy = lines[0]
    assert f"[epoch 1] train_loss: {train_loss}" in result.out

    net = plain.make_net(plain.LENET, 10)
    net.load_state_dict(torch.load(tmp_path / "Lenet.pth", weights_only=True))
    test_set = datasets.CIFAR10(cifar10, train=False, transform=plain.transform(plain.LENET))
    right = []
    with torch.no_grad():
        for i in range(0, 6000, 150):
            image, label = test_set[i]
            right.append(int(net(image[None]).argmax() == label))
    of_all = sum(right) / 40
    of_5000 = (150 * sum(right[:33]) + 50 * right[33]) / 5000
    assert abs(of_5000 - of_all) > 0.001  # they can be told apart
    assert float(accuracy) == pytest.approx(of_5000, abs=6e-4)
    assert f"best test_accuracy: {of_all:.3f}" in result.out


@pytest.fixture
def pretrained(tmp_path: Path) -> Path:
    """torchvision's own net with its 1000 classes, in place of ImageNet's weights."""
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), tmp_path / "pre.pth")
    return tmp_path / "pre.pth"


class Transfer:
    """Test5's train.py on photos of two or three classes, one epoch at a time."""

    def __init__(self, place: Path):
        self.place = place
        for count in (2, 3):
            classes = list(COLORS)[:count]
            draw_data_set(place / f"{count} classes", classes, train=1, val=1)

    def train(self, out: str, weights: Path, *options: object, classes: int = 2) -> Result:
        fixed = ["--data-path", self.place / f"{classes} classes", "--output-dir", self.place / out]
        fixed += ["--epochs", 1, "--workers", 0, "--batch-size", 4, "--model-name", "resnet18"]
        with no_pictures():
            script = ROOT / plain.RESNET / "train.py"
            return run_here(script, *fixed, "--weights", weights, *options)

    def file(self, out: str) -> Path:
        return self.place / out / "resNet18.pth"

    def state(self, out: str) -> dict[str, torch.Tensor]:
        return torch.load(self.file(out), weights_only=True)


@pytest.fixture
def transfer(tmp_path: Path) -> Transfer:
    return Transfer(tmp_path)


def test_transfer_learning_starts_from_the_weights(transfer: Transfer, pretrained: Path) -> None:
    before = torch.load(pretrained, weights_only=True)
    kept = [name for name in before if not name.startswith("fc.")]

    result = works(transfer.train("frozen", pretrained, "--freeze-layers"))
    assert f"weights loaded from {pretrained}" in result.out
    after = transfer.state("frozen")
    assert after["fc.weight"].shape == (2, 512)
    for name in kept:  # batch norm's means, too
        assert torch.equal(after[name], before[name]), name

    works(transfer.train("all", pretrained))
    after = transfer.state("all")
    for name in kept:
        if name.endswith("weight"):
            assert 0 < (after[name] - before[name]).abs().max() < 0.01, name


@pytest.mark.slow
def test_transfer_learning_goes_on_from_ones_own_net(transfer: Transfer, pretrained: Path) -> None:
    """With other classes, all but its fc; it may be the file that the run replaces."""
    works(transfer.train("own", pretrained, "--lr", 1e-9))
    own = transfer.file("own")
    before = transfer.state("own")
    result = works(transfer.train("own", own, "--lr", 1e-9, classes=3))
    assert f"weights loaded from {own}" in result.out
    after = transfer.state("own")
    assert torch.allclose(after["conv1.weight"], before["conv1.weight"], atol=1e-6)
    assert after["fc.weight"].shape == (3, 512)
    fails(transfer.train("wrong", own, "--model-name", "resnet34"), "layer1.2", own)
    assert not (transfer.place / "wrong").exists()


def test_imagenets_weights_lie_in_the_folder_or_are_fetched_to_it(
    tmp_path: Path, pretrained: Path, monkeypatch: Patch, capsys: pytest.CaptureFixture
) -> None:
    module = load(plain.RESNET, "pretrained")
    monkeypatch.setattr(module, "HERE", tmp_path / "lesson")
    (tmp_path / "lesson").mkdir()
    path = tmp_path / "lesson" / "resnet18-pre.pth"

    def serve(digits: str) -> str:
        """A URL whose file name ends in digits of an SHA-256, as PyTorch's do."""
        served = tmp_path / f"resnet18-{digits}.pth"
        shutil.copy(pretrained, served)
        weights = {"IMAGENET1K_V1": SimpleNamespace(url=served.as_uri())}
        monkeypatch.setattr(module, "get_model_weights", lambda name: weights)
        return served.as_uri()

    assert module.find_weights("resnet18", "my.pth") == Path("my.pth")
    url = serve("00000000")
    with pytest.raises(module.UserError) as error:
        module.find_weights("resnet18", None)
    for words in (url, "hash", str(path), "--weights none"):
        assert words in str(error.value)
    assert list(path.parent.iterdir()) == []  # no part of it

    url = serve(hashlib.sha256(pretrained.read_bytes()).hexdigest()[:8])
    capsys.readouterr()
    assert module.find_weights("resnet18", None) == path
    assert url in capsys.readouterr().out
    assert path.read_bytes() == pretrained.read_bytes()
    path.write_bytes(b"one's own")
    assert module.find_weights("resnet18", None) == path
    assert path.read_bytes() == b"one's own"
    assert url not in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("folder", [plain.RESNET], indirect=True)
@pytest.mark.parametrize("more", ["--batch-size 4", "--batch-size 100", "--amp", "--workers 1"])
def test_batch_predict(more: str, trained: Trained, tmp_path: Path, autocast: Mock) -> None:
    data = draw_data_set(tmp_path, ("blue", "red"), train=3, val=1) / "train"
    (data / "red" / "nested").mkdir()
    (data / "red" / "red_0.png").rename(data / "red" / "nested" / "other.png")
    shutil.copy(data / "red" / "red_1.png", data / "blue" / "wrong.png")
    options = [*more.split(), "--csv", tmp_path / "a.csv"]
    result = works(trained.predict(data, *options, script="batch_predict.py"))
    assert autocast.call_args == call("cpu", torch.bfloat16, enabled=more == "--amp")
    lines = result.lines("image: ")
    assert len(lines) == 7
    assert lines == trained.predict(data, "--save", tmp_path / "a.png").lines("image: ")
    table = (tmp_path / "a.csv").read_bytes()
    assert table.startswith(b"\xef\xbb\xbfimage,class,prob")
    assert b"red/nested/other.png," in table

    predicted = [re.search(r"class: (\w+)", line)[1] for line in lines]
    true = ["blue"] * 4 + ["red"] * 3
    pairs = list(zip(predicted, true, strict=True))
    hits = [one for one, other in pairs if one == other]
    assert f"accuracy: {len(hits) / 7:.3f} of 7 images" in result.out
    for name in ("blue", "red"):
        count = predicted.count(name)
        precision = f"{hits.count(name) / count:.3f}" if count else "nan"
        recall = f"{hits.count(name) / true.count(name):.3f}"
        line = rf"class: {name} +precision: {precision} +recall: {recall}"
        assert re.search(line, result.out)
    # that of the validation set stays
    assert (trained.out / "resNet18_train_confusion.png").exists()


@pytest.mark.parametrize("folder", [plain.RESNET], indirect=True)
@pytest.mark.parametrize("script", ["batch_predict.py", "predict.py"])
def test_images_that_cannot_be_read_are_named_and_the_others_predicted(
    script: str, trained: Trained, tmp_path: Path
) -> None:
    data = draw_data_set(tmp_path, ("x", "y"), train=2, val=1) / "train"
    for name in ("x/bad1.jpg", "y/bad2.jpg"):
        (data / name).write_bytes(b"no image")
    result = trained.predict(data, script=script)
    fails(result, "bad1.jpg", "bad2.jpg")
    assert len(result.lines("image: ")) == 4


def test_help_shows_the_lessons_defaults(folder: str, tmp_path: Path) -> None:
    copy = copy_lesson(folder, tmp_path)  # copied away alone, it looks for its data in itself
    in_project = ROOT / "data_set" / "flower_data"
    if folder == plain.LENET:
        in_project = ROOT / folder / "data"
    epochs, batch_size, lr = plain.DEFAULTS[folder]
    for place, data_path in ((ROOT / folder, in_project), (copy, copy / "data")):
        defaults = {
            "--epochs": epochs,
            "--batch-size": batch_size,
            "--lr": lr,
            "--seed": 0,
            "--data-path": data_path,
            "--output-dir": place,
            "--device": "cpu",
        }
        if folder == plain.VGG:
            defaults["--model-name"] = "vgg16"
        if folder == plain.RESNET:
            defaults["--model-name"] = "resnet34"
        text = " ".join(run_here(place / "train.py", "--help").out.split())
        for option, default in defaults.items():
            shown = rf"{option} [^-].*?\(default: {re.escape(str(default))}\)"
            assert re.search(shown, text), option


@pytest.mark.parametrize("name", ["helpers.py", "plots.py"])
def test_the_same_file_is_in_all_folders(name: str) -> None:
    assert len({(ROOT / folder / name).read_bytes() for folder in plain.DEFAULTS}) == 1


@pytest.mark.slow
def test_a_folder_alone(tmp_path: Path, monkeypatch: Patch) -> None:
    """Copied to an empty place, run from another, with photos of a class with a Chinese name."""
    copy = copy_lesson(plain.RESNET, tmp_path / "new place")
    elsewhere = tmp_path / "elsewhere"
    draw_data_set(copy / "data", train=2, val=1)
    for folder in copy.glob("data/*/red"):
        folder.rename(folder.with_name("红"))
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    _, options, train_options = plain.QUICK[plain.RESNET]
    command = [sys.executable, copy / "train.py", *train_options, "--epochs", "1"]
    process = subprocess.run(command, check=True, capture_output=True, encoding="utf-8")
    for line in (
        "using cpu device.\nusing 4 images for training, 2 images for validation.",
        r"train epoch\[1/1\] 100%\[\*{50}->\] loss:\d+\.\d{3}",
        r"\[epoch 1\] train_loss: \d+\.\d{3}  val_accuracy: \d\.\d{3}",
        r"epoch 1 took \d+\.\d s, \d+\.\d s of it waiting for images",
        r"Finished Training\nbest val_accuracy: \d\.\d{3}.*resNet18.pth",
        r"drawn in .*resNet18_mistakes.png",
    ):
        assert re.search(f"^{line}$", process.stdout, re.MULTILINE), line
    names = (copy / "class_indices.json").read_text(encoding="ascii")
    assert json.loads(names) == {"0": "blue", "1": "红"}
    state = torch.load(copy / "resNet18.pth", weights_only=True)
    assert state.keys() == torchvision.models.resnet18().state_dict().keys()
    result = works(run_here(copy / "predict.py", *options))
    assert "true class: " in result.out
    assert str(copy / "resNet18_prediction.png") in result.out
    for name in ("results", "mistakes", "prediction"):
        assert (copy / f"resNet18_{name}.png").read_bytes().startswith(b"\x89PNG")
    assert list(elsewhere.iterdir()) == []


DRAWING = {  # script: options that let it end soon
    "Test1_official_demo/convolution.py": [],
    "Test1_official_demo/draw_net.py": [],
    "Test1_official_demo/edges.py": [],
    "Test1_official_demo/optimizers.py": [],
    "Test2_alexnet/draw_activations.py": [],
    "Test2_alexnet/draw_layers.py": [],
    "Test2_alexnet/draw_net.py": [],
    "Test3_vggnet/draw_net.py": ["--model-name", "vgg11"],
    "Test3_vggnet/receptive_field.py": [],
    "Test3_vggnet/signal_by_depth.py": ["--model-name", "vgg11", "--seed", "1"],
    "Test4_googlenet/draw_inception.py": ["--block", "inception4a"],
    "Test4_googlenet/draw_net.py": [],
    "Test4_googlenet/draw_pooling.py": [],
    "Test5_resnet/draw_blocks.py": [],
    "Test5_resnet/draw_nested.py": [],
    "Test5_resnet/draw_net.py": ["--model-name", "resnet50"],
}


@pytest.mark.slow
def test_drawing_scripts_draw_their_pictures(tmp_path: Path) -> None:
    copies = [plain.quick_lesson(folder, tmp_path) for folder in plain.DEFAULTS]
    edit(copies[0] / "optimizers.py", ("steps=1000, noise=0.3", "steps=30, noise=0.3"))
    pictures = {script: (tmp_path / script).with_suffix(".png") for script in DRAWING}
    started = []
    for script, options in DRAWING.items():
        started.append(start(tmp_path / script, *options, "--save", pictures[script]))
    for process, (script, picture) in zip(started, pictures.items(), strict=True):
        process.join()
        assert process.exitcode == 0, script
        assert picture.read_bytes().startswith(b"\x89PNG"), script
