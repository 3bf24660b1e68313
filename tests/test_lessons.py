"""Each lesson does what its contract says: the training loop, the transforms, the predictions, the options."""

import contextlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
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
from torchvision import datasets


class Trained:
    """A lesson after two epochs, and what it was given."""

    def __init__(self, folder: str, place: Path, data: Path):
        self.folder, self.data, self.out = folder, data, place / "out"
        self.script = plain.quick_lesson(folder, place) / "train.py"
        weights, self.predict_options, self.train_options = plain.QUICK[folder]
        self.weights = self.out / weights
        self.train(self.out, "--epochs", 2)

    def train(self, out: Path, *options: object) -> Result:
        fixed = [
            "--data-path",
            self.data,
            "--output-dir",
            out,
            "--batch-size",
            4,
            "--workers",
            0,
            "--seed",
            3,
        ]
        with no_pictures():
            return works(run_here(self.script, *fixed, *self.train_options, *options))

    def predict(self, *options: object, script: str = "predict.py") -> Result:
        return run_here(
            self.script.with_name(script), *options, "--output-dir", self.out, *self.predict_options
        )


@pytest.fixture(scope="module")
def trained(folder: str, tmp_path_factory: pytest.TempPathFactory, cifar10: Path) -> Trained:
    data = draw_data_set(tmp_path_factory.mktemp("flowers"), COLORS, train=2, val=1)
    return Trained(
        folder, tmp_path_factory.mktemp(folder), cifar10 if folder == plain.LENET else data
    )


def test_training_is_that_of_a_plain_loop(folder: str, trained: Trained) -> None:
    torch.manual_seed(3)
    net = plain.make_net(folder, 3, trained.script.parent)
    expected = plain.train(
        folder, net, plain.make_loaders(folder, trained.data, 4), epochs=2, seed=3
    )
    part = "test" if folder == plain.LENET else "val"
    last = trained.weights.with_stem(f"{trained.weights.stem}_last")
    for row, wanted in zip(torch.load(last, weights_only=True)["history"], expected, strict=True):
        found = [row["train_loss"], row[f"{part}_loss"], row[f"{part}_accuracy"]]
        assert found == pytest.approx(wanted, abs=1e-5)


def test_a_resumed_run_ends_as_a_straight_one(
    trained: Trained, tmp_path: Path, monkeypatch: Patch
) -> None:
    """And goes on with --amp, of which only the switch is looked at here: it computes as the straight run did."""
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    monkeypatch.setattr(torch, "autocast", autocast := Mock(return_value=contextlib.nullcontext()))
    trained.train(tmp_path, "--epochs", 1, "--amp")
    trained.train(tmp_path, "--epochs", 2, "--resume")
    assert {switch.kwargs["enabled"] for switch in autocast.call_args_list} == {True}
    for path in trained.out.glob("*.pth"):
        states = [torch.load(p, weights_only=True) for p in (path, tmp_path / path.name)]
        amp = [[row.pop("amp") for row in state.get("history", [])] for state in states]
        assert same(*states) and amp in ([[], []], [[False, False], [True, True]])


def test_predict_gives_the_nets_probabilities(
    folder: str, trained: Trained, tmp_path: Path
) -> None:
    photos = draw_data_set(tmp_path, COLORS, train=1, val=1) / "val"
    images = sorted(photos.rglob("*.png"))
    result = works(trained.predict(photos, images[0], "--save", tmp_path / "a.png"))
    net, lines = plain.make_net(folder, 3, trained.script.parent).eval(), result.out.splitlines()
    net.load_state_dict(torch.load(trained.weights, weights_only=True))
    answers = [i for i, line in enumerate(lines) if line.startswith("image: ")]
    assert [re.search(r"image: (\S+)", lines[i])[1] for i in answers] == [
        p.name for p in [*images, images[0]]
    ]
    for i, image in zip(answers, images, strict=False):
        with (
            torch.no_grad(),
            Image.open(image) as picture,
        ):  # computed here, with the contract's transform
            logits = net(plain.transform(folder)(picture)[None])
        expected = torch.softmax(logits[0], dim=0).tolist()
        found = [float(line.split()[-1]) for line in lines[i + 1 : i + 1 + len(expected)]]
        assert found == pytest.approx(expected, abs=6e-4)
        name = re.search(r"class: (\S+) +prob: ([\d.]+)", lines[i])
        assert name[1] == lines[i + 1 + int(logits.argmax())].split()[1] and float(name[2]) == max(
            found
        )
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_predict_without_an_image(folder: str, trained: Trained, tmp_path: Path) -> None:
    result = trained.predict("--data-path", trained.data)
    assert (trained.out / f"{trained.weights.stem}_prediction.png").exists()
    name, true = re.search(
        r"image: (?:test image )?(\w+?)(?:_\d.png)? .*true class: (\w+)", result.out
    ).groups()
    if folder == plain.LENET:
        assert (
            true
            == ["plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"][
                int(name) % 10
            ]
        )
    else:
        assert name == true
        other = draw_data_set(tmp_path / "other", ("blue", "cyan", "red"), train=1, val=1)
        fails(trained.predict("--data-path", other), "other classes", other)


def test_lenet_tests_every_500_steps(tmp_path: Path, cifar10: Path, monkeypatch: Patch) -> None:
    init = datasets.CIFAR10.__init__

    def larger(self: datasets.CIFAR10, *args: object, **options: object) -> None:
        init(self, *args, **options)
        times = 5 if self.train else 150  # 500 and 6,000 images
        self.data, self.targets = (
            self.data.repeat(times, axis=0),
            [t for t in self.targets for _ in range(times)],
        )

    monkeypatch.setattr(datasets.CIFAR10, "__init__", larger)
    options = ["--data-path", cifar10, "--output-dir", tmp_path, "--epochs", 1, "--batch-size", 1]
    with no_pictures():
        result = run_here(ROOT / plain.LENET / "train.py", *options)
    line = r"^\[(\d),  +(\d+)\] train_loss: (\d+\.\d{3})  test_accuracy: (\d\.\d{3})$"
    lines = re.findall(line, result.out, re.MULTILINE)
    assert [found[:2] for found in lines] == [("1", "500")]
    net = plain.make_net(plain.LENET, 10)
    net.load_state_dict(torch.load(tmp_path / "Lenet.pth", weights_only=True))
    test_set = datasets.CIFAR10(cifar10, train=False, transform=plain.transform(plain.LENET))
    with torch.no_grad():
        right = [
            float(net(test_set[i][0][None]).argmax() == test_set[i][1]) for i in range(0, 6000, 150)
        ]
    whole, part = sum(right) / 40, (150 * sum(right[:33]) + 50 * right[33]) / 5000
    assert (
        f"[epoch 1] train_loss: {lines[0][2]}" in result.out
        and f"best test_accuracy: {whole:.3f}" in result.out
    )
    assert float(lines[0][3]) == pytest.approx(part, abs=6e-4) and abs(part - whole) > 0.001


@pytest.fixture
def pretrained(tmp_path: Path) -> Path:
    """torchvision's own net with its 1000 classes, in place of the ImageNet weights that cannot be had here."""
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), tmp_path / "pre.pth")
    return tmp_path / "pre.pth"


def test_transfer_learning(tmp_path: Path, pretrained: Path) -> None:
    two, three = (
        draw_data_set(tmp_path / str(n), list(COLORS)[:n], train=1, val=1) for n in (2, 3)
    )

    def train(out: str, *options: object, data: Path = two, weights: Path = pretrained) -> Result:
        fixed = [
            "--data-path",
            data,
            "--model-name",
            "resnet18",
            "--epochs",
            1,
            "--workers",
            0,
            "--batch-size",
            4,
        ]
        fixed = [*fixed, "--output-dir", tmp_path / out, "--weights", weights]
        with no_pictures():
            return run_here(ROOT / "Test5_resnet" / "train.py", *fixed, *options)

    def state(out: str) -> dict:
        return torch.load(tmp_path / out / "resNet18.pth", weights_only=True)

    before = torch.load(pretrained, weights_only=True)
    assert str(pretrained) in works(train("frozen", "--freeze-layers")).out
    after = state("frozen")
    assert all(
        torch.equal(after[name], value) for name, value in before.items() if name[:3] != "fc."
    )
    assert after["fc.weight"].shape == (2, 512)
    works(train("all"))
    after, weights = (
        state("all"),
        [name for name in before if name.endswith("weight") and name[:3] != "fc."],
    )
    assert all(
        0 < (after[name] - before[name]).abs().max() < 0.01 for name in weights
    )  # it started from them
    own = (
        tmp_path / "all" / "resNet18.pth"
    )  # going on from one's own net with other classes, all but its fc
    assert str(own) in works(train("all", data=three, weights=own)).out
    fails(train("wrong", "--model-name", "resnet34", weights=own), "layer1.2", own)


def test_imagenet_weights_are_those_in_the_folder_or_torchvisions(
    tmp_path: Path, pretrained: Path, monkeypatch: Patch, capsys: pytest.CaptureFixture
) -> None:
    module, net = load("Test5_resnet", "pretrained"), load("Test5_resnet", "model").resnet18()
    url, fetch = (
        torchvision.models.ResNet18_Weights.IMAGENET1K_V1.url,
        Mock(side_effect=[OSError("no network"), None]),
    )
    cached = tmp_path / "hub" / "checkpoints" / Path(url).name
    own, theirs = tmp_path / "resnet18-pre.pth", torch.load(pretrained, weights_only=True)
    monkeypatch.setattr(module, "HERE", tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    monkeypatch.setattr(torchvision.models.ResNet18_Weights, "get_state_dict", fetch)
    with pytest.raises(module.UserError, match=r"no network.*resnet18-pre\.pth"):
        module.load_pretrained(net, "resnet18", None)
    cached.parent.mkdir(parents=True)
    shutil.copy(pretrained, cached)  # as torchvision does
    assert module.load_pretrained(net, "resnet18", None) == cached
    assert fetch.call_args.kwargs == {"progress": True, "check_hash": True, "weights_only": True}
    assert url in capsys.readouterr().out and torch.equal(net.conv1.weight, theirs["conv1.weight"])
    torch.save({**theirs, "bn1.bias": torch.full([64], 7.0)}, own)
    assert (
        module.load_pretrained(net, "resnet18", None) == own
        and fetch.call_count == 2
        and net.bn1.bias[0] == 7
    )


@pytest.mark.parametrize("folder", [plain.RESNET], indirect=True)
@pytest.mark.parametrize("more", ["--batch-size 4", "--batch-size 100", "--amp"])
def test_batch_predict(more: str, trained: Trained, tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    monkeypatch.setattr(torch, "autocast", autocast := Mock(return_value=contextlib.nullcontext()))
    data = draw_data_set(tmp_path, ("blue", "red"), train=3, val=1) / "train"
    (data / "red" / "nested").mkdir()
    (data / "red" / "red_0.png").rename(data / "red" / "nested" / "other.png")
    result = works(
        trained.predict(data, *more.split(), "--csv", tmp_path / "a.csv", script="batch_predict.py")
    )
    lines = result.lines("image: ")
    assert (
        lines == trained.predict(data, "--save", tmp_path / "a.png").lines("image: ")
        and len(lines) == 6
    )
    assert autocast.call_args == call("cpu", torch.bfloat16, enabled=more == "--amp")
    table = (tmp_path / "a.csv").read_bytes()
    assert table.startswith(b"\xef\xbb\xbfimage,class,prob") and b"red/nested/other.png," in table
    pairs = list(
        zip(
            [re.search(r"class: (\w+)", line)[1] for line in lines],
            ["blue"] * 3 + ["red"] * 3,
            strict=True,
        )
    )
    assert f"accuracy: {sum(p == t for p, t in pairs) / 6:.3f}" in result.out
    for name in ("blue", "red"):
        hits, count = pairs.count((name, name)), sum(p == name for p, _ in pairs)
        precision = f"{hits / count:.3f}" if count else "nan"
        assert re.search(
            rf"class: {name} +precision: {precision} +recall: {hits / 3:.3f}", result.out
        )
    assert (trained.out / "resNet18_confusion.png").exists()


@pytest.mark.parametrize("folder", [plain.RESNET], indirect=True)
def test_images_that_cannot_be_read_are_named_and_the_others_predicted(
    trained: Trained, tmp_path: Path
) -> None:
    data = draw_data_set(tmp_path, ("x", "y"), train=2, val=1) / "train"
    for name in ("x/bad1.jpg", "y/bad2.jpg"):
        (data / name).write_bytes(b"no image")
    for script, options in {"batch_predict.py": ["--batch-size", 3], "predict.py": []}.items():
        result = trained.predict(data, *options, script=script)
        assert result.status == 1 and "bad1.jpg" in result.err and "bad2.jpg" in result.err
        assert (
            len(result.lines("image: ")) == 4 and "accuracy" not in result.out
        )  # x and y are no classes of the net


def test_help_shows_the_lessons_defaults(folder: str, tmp_path: Path) -> None:
    copy = copy_lesson(folder, tmp_path)  # copied away alone, it looks for its data in itself
    place = ROOT / "data_set" / "flower_data" if folder != plain.LENET else ROOT / folder / "data"
    for script, data in ((ROOT / folder / "train.py", place), (copy / "train.py", copy / "data")):
        text = " ".join(run_here(script, "--help").out.split())
        defaults = [*zip(("--epochs", "--batch-size", "--lr"), plain.DEFAULTS[folder], strict=True)]
        defaults += [
            ("--seed", "0"),
            ("--data-path", data),
            ("--output-dir", script.parent),
            ("--device", "cpu"),
        ]
        defaults += (
            [("--model-name", "vgg16" if folder == plain.VGG else "resnet34")]
            if "model-name" in text
            else []
        )
        for option, default in defaults:
            assert re.search(rf"{option} [^-].*?\(default: {re.escape(str(default))}\)", text), (
                option
            )


def test_the_same_files_are_in_all_folders_and_small() -> None:
    for name in ("helpers.py", "plots.py"):
        assert len({(ROOT / folder / name).read_bytes() for folder in plain.DEFAULTS}) == 1
    for folder in plain.DEFAULTS:
        lines = {path.name: path.read_bytes().count(b"\n") for path in (ROOT / folder).glob("*.py")}
        assert (
            lines["train.py"] <= (145 if folder == plain.RESNET else 130)
            and lines["predict.py"] <= 65
        )
        assert lines["helpers.py"] + lines["plots.py"] <= 400


def test_a_folder_alone(tmp_path: Path, monkeypatch: Patch) -> None:
    copy, elsewhere = copy_lesson("Test5_resnet", tmp_path / "new place"), tmp_path / "elsewhere"
    draw_data_set(copy / "data", train=2, val=1)
    for folder in copy.glob("data/*/red"):
        folder.rename(folder.with_name("红"))
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    _, options, train_options = plain.QUICK["Test5_resnet"]
    command = [sys.executable, copy / "train.py", *train_options, "--epochs", "1"]
    out = subprocess.run(
        command, check=True, capture_output=True, text=True, encoding="utf-8"
    ).stdout
    for line in (
        "using cpu device.\nusing 4 images for training, 2 images for validation.",
        r"train epoch\[1/1\] 100%\[\*{50}->\] loss:\d+\.\d{3}",
        r"\[epoch 1\] train_loss: \d+\.\d{3}  val_accuracy: \d\.\d{3}\ndrawn in .*resNet18_results.png",
        r"epoch 1 took \d+\.\d s, \d+\.\d s of it waiting for images",
        r"Finished Training\nbest val_accuracy: \d\.\d{3}.*resNet18.pth\ndrawn in .*resNet18_mistakes.png",
    ):
        assert re.search(f"^{line}$", out, re.MULTILINE), line
    assert json.loads((copy / "class_indices.json").read_text(encoding="ascii")) == {
        "0": "blue",
        "1": "红",
    }
    state = torch.load(copy / "resNet18.pth", weights_only=True)
    assert state.keys() == torchvision.models.resnet18().state_dict().keys()
    result = works(run_here(copy / "predict.py", *options))
    assert "true class: " in result.out and str(copy / "resNet18_prediction.png") in result.out
    for name in ("results", "mistakes", "prediction"):
        assert (copy / f"resNet18_{name}.png").read_bytes().startswith(b"\x89PNG")
    assert list(elsewhere.iterdir()) == []


DRAWING = {  # script: options that let it end soon
    "Test1_official_demo/convolution.py": [], "Test1_official_demo/draw_net.py": [], "Test1_official_demo/edges.py": [],
    "Test1_official_demo/optimizers.py": [], "Test2_alexnet/draw_layers.py": [], "Test2_alexnet/draw_net.py": [],
    "Test3_vggnet/receptive_field.py": [], "Test3_vggnet/signal_by_depth.py": ["--model-name", "vgg11", "--seed", "1"],
    "Test4_googlenet/draw_inception.py": ["--block", "inception4a"], "Test4_googlenet/draw_net.py": [],
    "Test5_resnet/draw_blocks.py": [], "Test5_resnet/draw_net.py": ["--model-name", "resnet50"],
}  # fmt: skip


def test_drawing_scripts_draw_their_pictures(tmp_path: Path) -> None:
    copies = [plain.quick_lesson(folder, tmp_path) for folder in plain.DEFAULTS]
    edit(copies[0] / "optimizers.py", ("1000, 0.3", "30, 0.3"))  # steps in the valley
    pictures = {script: (tmp_path / script).with_suffix(".png") for script in DRAWING}
    started = [
        start(tmp_path / script, *more, "--save", pictures[script])
        for script, more in DRAWING.items()
    ]
    assert [process.join() or process.exitcode for process in started] == [0] * len(DRAWING)
    assert all(picture.read_bytes().startswith(b"\x89PNG") for picture in pictures.values())
