"""Each lesson does what its contract says: the training loop, the transforms, the predictions, the options."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import plain
import pytest
import torch
import torchvision
from conftest import (
    LESSONS,
    QUICK,
    ROOT,
    Patch,
    Result,
    copy_lesson,
    draw_data_set,
    load,
    no_pictures,
    quick_lesson,
    quick_net,
    run_alone,
    run_here,
    same,
    works,
)
from PIL import Image
from torchvision import datasets

RATES = dict(zip(LESSONS, (0.001, 0.0002, 0.0001, 0.0003, 0.0001), strict=True))  # the lessons' defaults
COLORS = ["blue", "green", "red"]


class Trained(NamedTuple):
    """A lesson after two epochs, and what it was given."""

    folder: str
    script: Path
    data: Path
    out: Path
    weights: Path

    def train(self, out: Path, *options: object) -> Result:
        fixed = ["--data-path", self.data, "--output-dir", out, "--batch-size", 4, "--workers", 0, "--seed", 3]
        with no_pictures():
            return works(run_here(self.script, *fixed, *QUICK[self.folder][1], *QUICK[self.folder][2], *options))

    def predict(self, *options: object, script: str = "predict.py") -> Result:
        options = [*options, "--output-dir", self.out, *QUICK[self.folder][1]]
        return run_here(self.script.with_name(script), *options)

    def history(self) -> list[dict]:
        return torch.load(self.weights.with_stem(f"{self.weights.stem}_last"), weights_only=True)["history"]

    def net(self) -> torch.nn.Module:
        net = quick_net(self.folder, 10 if self.folder == plain.LENET else 3)
        net.load_state_dict(torch.load(self.weights, weights_only=True))
        return net.eval()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, cifar10: Path) -> Callable[[str], Trained]:
    flowers = draw_data_set(tmp_path_factory.mktemp("flowers"), COLORS, train=2, val=1)
    made: dict[str, Trained] = {}

    def make(folder: str) -> Trained:
        if folder not in made:
            place = tmp_path_factory.mktemp(folder)
            script, data = quick_lesson(folder, place) / "train.py", cifar10 if folder == plain.LENET else flowers
            made[folder] = Trained(folder, script, data, place / "out", place / "out" / QUICK[folder][0])
            made[folder].train(place / "out", "--epochs", 2)
        return made[folder]

    return make


@pytest.mark.parametrize("folder", LESSONS)
def test_training_is_that_of_a_plain_loop(folder: str, trained: Callable) -> None:
    run = trained(folder)
    torch.manual_seed(3)
    net = quick_net(folder, 3)
    expected = plain.train(folder, net, plain.make_loaders(folder, run.data, 4), RATES[folder], epochs=2, seed=3)
    part = "test" if folder == plain.LENET else "val"
    for row, wanted in zip(run.history(), expected, strict=True):
        found = [row["train_loss"], row[f"{part}_loss"], row[f"{part}_accuracy"]]
        assert found == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("folder", LESSONS)
def test_a_resumed_run_ends_as_a_straight_one(folder: str, trained: Callable, tmp_path: Path) -> None:
    run = trained(folder)
    run.train(tmp_path, "--epochs", 1)
    run.train(tmp_path, "--epochs", 2, "--resume")
    for path in (run.weights, run.weights.with_stem(f"{run.weights.stem}_last")):
        assert same(*(torch.load(p, weights_only=True) for p in (path, tmp_path / path.name)))


@pytest.mark.parametrize("folder", LESSONS[1:])
def test_the_transforms_are_the_contracts(folder: str) -> None:
    image = Image.effect_noise((300, 260), 80).convert("RGB")
    for part in ("train", "val"):
        for seed in range(4):  # a flip has one chance in two
            results = []
            for transform in (load(folder, "train").data_transform[part], plain.transform(folder, part == "train")):
                torch.manual_seed(seed)
                results.append(transform(image))
            assert torch.equal(*results)


def probabilities(run: Trained, image: Path) -> list[float]:
    """What the net gives to an image, computed here, with the contract's transform."""
    with torch.no_grad(), Image.open(image) as picture:
        batch = plain.transform(run.folder)(picture.convert("RGB"))[None]
        return torch.softmax(run.net()(batch)[0], dim=0).tolist()


@pytest.mark.parametrize("folder", LESSONS)
def test_predict_gives_the_nets_probabilities(folder: str, trained: Callable, tmp_path: Path) -> None:
    run = trained(folder)
    photos = draw_data_set(tmp_path, COLORS, train=1, val=1) / "val"
    images = sorted(photos.rglob("*.png"))
    result = works(run.predict(photos, images[0], "--save", tmp_path / "a.png"))
    lines = result.out.splitlines()
    answers = [i for i, line in enumerate(lines) if line.startswith("image: ")]
    assert [re.search(r"image: (\S+)", lines[i])[1] for i in answers] == [p.name for p in [*images, images[0]]]
    for i, image in zip(answers, images, strict=False):
        expected = probabilities(run, image)
        found = [float(line.split()[-1]) for line in lines[i + 1 : i + 1 + len(expected)]]
        assert found == pytest.approx(expected, abs=6e-4)
        best = max(range(len(expected)), key=expected.__getitem__)
        name = re.search(r"class: (\S+) +prob: ([\d.]+)", lines[i])
        assert name[1] == lines[i + 1 + best].split()[1] and float(name[2]) == max(found)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("folder", LESSONS[1:])
def test_predict_without_an_image(folder: str, trained: Callable, tmp_path: Path) -> None:
    run = trained(folder)
    result = run.predict("--data-path", run.data)
    name, true = re.search(r"image: (\w+)_\d.png .*true class: (\w+)", result.out).groups()
    assert name == true
    other = draw_data_set(tmp_path / "other", ("blue", "cyan", "red"), train=1, val=1)
    result = run.predict("--data-path", other)
    assert result.status == 1 and "other classes" in result.err and str(other) in result.err


def test_lenet_predicts_a_test_image(trained: Callable) -> None:
    run = trained(plain.LENET)
    result = run.predict("--data-path", run.data)
    index, true = re.search(r"image: test image (\d+) .*true class: (\w+)", result.out).groups()
    classes = ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    assert true == classes[int(index) % 10]
    assert (run.out / "Lenet_prediction.png").exists()


def test_lenet_tests_every_500_steps(tmp_path: Path, cifar10: Path, monkeypatch: Patch) -> None:
    init = datasets.CIFAR10.__init__

    def larger(self: datasets.CIFAR10, *args: object, **options: object) -> None:
        init(self, *args, **options)
        times = 10 if self.train else 150  # 1,000 and 6,000 images
        self.data, self.targets = self.data.repeat(times, axis=0), [t for t in self.targets for _ in range(times)]

    monkeypatch.setattr(datasets.CIFAR10, "__init__", larger)
    script = ROOT / plain.LENET / "train.py"
    result = run_here(script, "--data-path", cifar10, "--output-dir", tmp_path, "--epochs", 1, "--batch-size", 1)
    line = r"^\[(\d),  +(\d+)\] train_loss: \d+\.\d{3}  test_accuracy: (\d\.\d{3})$"
    lines = re.findall(line, result.out, re.MULTILINE)
    assert [found[:2] for found in lines] == [("1", "500"), ("1", "1000")]
    run = Trained(plain.LENET, script, cifar10, tmp_path, tmp_path / "Lenet.pth")
    test_set = datasets.CIFAR10(cifar10, train=False, transform=plain.transform(plain.LENET))
    with torch.no_grad():
        right = [float(run.net()(test_set[i][0][None]).argmax() == test_set[i][1]) for i in range(0, 6000, 150)]
    whole, part = sum(right) / 40, (150 * sum(right[:33]) + 50 * right[33]) / 5000
    assert run.history()[0]["test_accuracy"] == pytest.approx(whole)
    assert float(lines[-1][2]) == pytest.approx(part, abs=6e-4) and abs(part - whole) > 0.001


@pytest.fixture
def pretrained(tmp_path: Path) -> Path:
    """torchvision's own net with its 1000 classes, in place of the ImageNet weights that cannot be had here."""
    torch.manual_seed(1)
    path = tmp_path / "pre.pth"
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), path)
    return path


def test_transfer_learning(tmp_path: Path, pretrained: Path) -> None:
    two, three = (draw_data_set(tmp_path / str(n), COLORS[:n], train=1, val=1) for n in (2, 3))

    def train(out: str, *options: object, data: Path = two, weights: Path = pretrained) -> Result:
        fixed = ["--data-path", data, "--model-name", "resnet18", "--epochs", 1, "--workers", 0, "--batch-size", 4]
        fixed = [*fixed, "--output-dir", tmp_path / out, "--weights", weights]
        with no_pictures():
            return run_here(ROOT / "Test5_resnet" / "train.py", *fixed, *options)

    def state(out: str) -> dict:
        return torch.load(tmp_path / out / "resNet18.pth", weights_only=True)

    before = torch.load(pretrained, weights_only=True)
    assert str(pretrained) in works(train("frozen", "--freeze-layers")).out
    assert all(torch.equal(state("frozen")[name], value) for name, value in before.items() if name[:3] != "fc.")
    assert state("frozen")["fc.weight"].shape == (2, 512)
    works(train("all"))
    weights = [name for name in before if name.endswith("weight") and name[:3] != "fc."]
    assert [name for name in weights if not torch.equal(state("all")[name], before[name])] == weights
    assert all((state("all")[name] - before[name]).abs().max() < 0.01 for name in weights)  # it started from them

    # going on from one's own net with other classes, all but its fc
    own = tmp_path / "all" / "resNet18.pth"
    assert str(own) in works(train("three", data=three, weights=own)).out
    wrong = train("wrong", "--model-name", "resnet34", weights=own)
    assert wrong.status == 1 and "layer1.2" in wrong.err and str(own) in wrong.err


def test_imagenet_weights_are_those_in_the_folder_or_torchvisions(
    tmp_path: Path, pretrained: Path, monkeypatch: Patch, capsys: pytest.CaptureFixture
) -> None:
    module, net, asked = load("Test5_resnet", "pretrained"), load("Test5_resnet", "model").resnet18(), []
    own, theirs = tmp_path / "resnet18-pre.pth", torch.load(pretrained, weights_only=True)
    monkeypatch.setattr(module, "HERE", tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def fetch(self: object, **options: object) -> None:
        asked.append({**options, "url": self.url})
        if len(asked) == 1:
            raise OSError("no network")
        cached = tmp_path / "hub" / "checkpoints" / self.url.split("/")[-1]
        cached.parent.mkdir(parents=True)
        cached.write_bytes(pretrained.read_bytes())

    monkeypatch.setattr(torchvision.models.ResNet18_Weights.IMAGENET1K_V1.__class__, "get_state_dict", fetch)
    with pytest.raises(module.UserError, match=r"no network.*resnet18-pre\.pth"):
        module.load_pretrained(net, "resnet18", None)
    module.load_pretrained(net, "resnet18", None)
    assert asked[1] == {"progress": True, "check_hash": True, "weights_only": True, "url": asked[1]["url"]}
    assert asked[1]["url"] in capsys.readouterr().out and torch.equal(net.conv1.weight, theirs["conv1.weight"])
    torch.save({**theirs, "bn1.bias": torch.full([64], 7.0)}, own)
    assert module.load_pretrained(net, "resnet18", None) == own and len(asked) == 2 and net.bn1.bias[0] == 7


@pytest.mark.parametrize("batch_size", [4, 100])
def test_batch_predict_names_every_image_as_predict_does(batch_size: int, trained: Callable, tmp_path: Path) -> None:
    run = trained("Test5_resnet")
    data = draw_data_set(tmp_path, ("blue", "red"), train=3, val=1) / "train"
    (data / "red" / "nested").mkdir()
    (data / "red" / "red_0.png").rename(data / "red" / "nested" / "other.png")
    options = [data, "--batch-size", batch_size, "--csv", tmp_path / "a.csv"]
    result = works(run.predict(*options, script="batch_predict.py"))
    lines = result.lines("image: ")
    assert lines == run.predict(data, "--save", tmp_path / "a.png").lines("image: ") and len(lines) == 6
    table = (tmp_path / "a.csv").read_bytes()
    assert table.startswith(b"\xef\xbb\xbfimage,class,prob") and b"red/nested/other.png," in table

    # hand-computed from the printed lines: the folder is a test set of two of the three classes
    pairs = list(zip([re.search(r"class: (\w+)", line)[1] for line in lines], ["blue"] * 3 + ["red"] * 3, strict=True))
    assert f"accuracy: {sum(p == t for p, t in pairs) / 6:.3f}" in result.out
    for name in ("blue", "red"):
        hits, count = pairs.count((name, name)), sum(p == name for p, _ in pairs)
        precision = f"{hits / count:.3f}" if count else "nan"
        assert re.search(rf"class: {name} +precision: {precision} +recall: {hits / 3:.3f}", result.out)
    assert (run.out / "resNet18_confusion.png").exists()


def test_images_that_cannot_be_read_are_named_and_the_others_predicted(trained: Callable, tmp_path: Path) -> None:
    data = draw_data_set(tmp_path, ("x", "y"), train=2, val=1) / "train"
    for name in ("x/bad1.jpg", "y/bad2.jpg"):
        (data / name).write_bytes(b"no image")
    for script, options in {"batch_predict.py": ["--batch-size", 3], "predict.py": []}.items():
        result = trained("Test5_resnet").predict(data, *options, script=script)
        assert result.status == 1 and "bad1.jpg" in result.err and "bad2.jpg" in result.err
        assert len(result.lines("image: ")) == 4 and "accuracy" not in result.out  # x and y are no classes of the net


DEFAULTS = {
    "Test1_official_demo": {"--epochs": "5", "--batch-size": "36", "--lr": "0.001"},
    "Test2_alexnet": {"--epochs": "10", "--batch-size": "32", "--lr": "0.0002"},
    "Test3_vggnet": {"--epochs": "30", "--batch-size": "32", "--lr": "0.0001", "--model-name": "vgg16"},
    "Test4_googlenet": {"--epochs": "30", "--batch-size": "32", "--lr": "0.0003"},
    "Test5_resnet": {"--epochs": "3", "--batch-size": "16", "--lr": "0.0001", "--model-name": "resnet34"},
}


@pytest.mark.parametrize("folder", LESSONS)
def test_help_shows_the_lessons_defaults(folder: str, tmp_path: Path) -> None:
    text = " ".join(run_here(ROOT / folder / "train.py", "--help").out.split())
    common = {"--seed": "0", "--workers": "", "--data-path": "", "--output-dir": str(ROOT / folder), "--device": "cpu"}
    for option, default in {**common, **DEFAULTS[folder]}.items():
        assert re.search(rf"{option} [^-].*?\(default: {re.escape(default)}", text), option
    data = "data" if folder == "Test1_official_demo" else str(Path("data_set") / "flower_data")
    assert re.search(rf"--data-path .*?\(default: [^)]*{re.escape(data)}\)", text)
    if folder != "Test1_official_demo":  # copied away alone, it looks in itself
        copy = copy_lesson(folder, tmp_path)
        text = " ".join(run_here(copy / "train.py", "--help").out.split())
        assert f"(default: {copy / 'data'})" in text


def test_the_same_files_are_in_all_folders_and_small() -> None:
    for name in ("helpers.py", "plots.py"):
        assert len({(ROOT / folder / name).read_bytes() for folder in LESSONS}) == 1

    def lines(*names: str) -> int:
        return sum(len((ROOT / name).read_text(encoding="utf-8").splitlines()) for name in names)

    assert lines("Test2_alexnet/helpers.py", "Test2_alexnet/plots.py") <= 400
    for folder in LESSONS:
        assert lines(f"{folder}/train.py") <= (145 if folder == "Test5_resnet" else 130)
        assert lines(f"{folder}/predict.py") <= 65


def test_a_folder_alone(tmp_path: Path, data_set: Path, monkeypatch: Patch) -> None:
    copy, elsewhere = copy_lesson("Test5_resnet", tmp_path / "new place"), tmp_path / "elsewhere"
    shutil.copytree(data_set, copy / "data")
    for part in ("train", "val"):
        (copy / "data" / part / "red").rename(copy / "data" / part / "红")
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    _, options, train_options = QUICK["Test5_resnet"]
    result = works(run_alone(copy / "train.py", *options, *train_options, "--epochs", 1))
    for line in (
        "using cpu device.",
        "using 8 images for training, 4 images for validation.",
        r"train epoch\[1/1\] 100%\[\*{50}->\] loss:\d+\.\d{3}",
        r"\[epoch 1\] train_loss: \d+\.\d{3}  val_accuracy: \d\.\d{3}",
        r"epoch 1 took \d+\.\d s, \d+\.\d s of it waiting for images",
        r"Finished Training\nbest val_accuracy: \d\.\d{3}.*resNet18.pth",
    ):
        assert re.search(f"^{line}$", result.out, re.MULTILINE), line
    assert json.loads((copy / "class_indices.json").read_text(encoding="ascii")) == {"0": "blue", "1": "红"}
    state = torch.load(copy / "resNet18.pth", weights_only=True)
    assert state.keys() == torchvision.models.resnet18().state_dict().keys()
    for name in ("resNet18_results.png", "resNet18_mistakes.png"):
        assert (copy / name).read_bytes().startswith(b"\x89PNG")
    result = works(run_here(copy / "predict.py", *options))
    assert "true class: " in result.out and str(copy / "resNet18_prediction.png") in result.out
    assert list(elsewhere.iterdir()) == []


DRAWING = {  # script: options that let it end soon
    "Test1_official_demo/convolution.py": [], "Test1_official_demo/draw_net.py": [], "Test1_official_demo/edges.py": [],
    "Test1_official_demo/optimizers.py": [], "Test2_alexnet/draw_layers.py": [], "Test2_alexnet/draw_net.py": [],
    "Test3_vggnet/receptive_field.py": [], "Test3_vggnet/signal_by_depth.py": ["--model-name", "vgg11"],
    "Test4_googlenet/draw_inception.py": ["--block", "inception4a"], "Test4_googlenet/draw_net.py": [],
    "Test5_resnet/draw_blocks.py": [], "Test5_resnet/draw_net.py": ["--model-name", "resnet50"],
}  # fmt: skip


@pytest.mark.parametrize("script", DRAWING)
def test_drawing_scripts_draw_and_name_their_picture(script: str, tmp_path: Path) -> None:
    result = run_here(ROOT / script, *DRAWING[script], "--save", tmp_path / "a.png")
    assert result.status == 0 and str(tmp_path / "a.png") in result.out, result.err
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
