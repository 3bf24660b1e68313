"""The scripts, run as a learner runs them: in a copy of one folder, with nothing beside it."""

import contextlib
import csv
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torchvision
from conftest import (
    FLOWER_LESSONS,
    ROOT,
    copy_lesson,
    draw_data_set,
    draw_image,
    environment,
    load,
    load_script,
    run_alone,
    run_here,
)
from PIL import Image
from torchvision import transforms
from torchvision.datasets import CIFAR10


@pytest.mark.parametrize("folder", FLOWER_LESSONS)
def test_a_folder_alone_trains_and_predicts_from_any_directory(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two classes of other names, one with a space and letters that are not ASCII; workers that are spawned."""
    weights, options, train_options = FLOWER_LESSONS[folder]
    lesson = copy_lesson(folder, tmp_path)
    data = draw_data_set(tmp_path / "my data", classes=("短毛猫", "sphynx cat"), train=3, val=1)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "sitecustomize.py").write_text(
        "import multiprocessing\nmultiprocessing.set_start_method('spawn')\n", encoding="utf-8"
    )
    options = [*options, "--device", "cpu"]
    train_options = [*train_options, "--data-path", data, "--epochs", 1, "--batch-size", 3, "--workers", 1]
    result = run_alone(lesson / "train.py", *options, *train_options, cwd=elsewhere, PYTHONPATH=str(elsewhere))
    assert result.status == 0, result.err
    # Python's resource tracker may speak up when a spawned worker is ended while it shuts itself down
    assert [line for line in result.err.splitlines() if "resource_tracker" not in line and "warn(" not in line] == []
    lines = result.out.splitlines()
    assert re.fullmatch(r"using \S+ device\.", lines[0])
    assert lines[1] == "using 6 images for training, 2 images for validation."
    assert re.fullmatch(r"train epoch\[1/1\] 100%\[\*{50}->\] loss:\d+\.\d{3}", lines[2])
    assert re.fullmatch(r"\[epoch 1\] train_loss: \d+\.\d{3}  val_accuracy: [01]\.\d{3}", lines[3])
    assert re.fullmatch(r"epoch 1 took \d+\.\d s", lines[-2])
    assert lines[-1] == "Finished Training"
    assert json.loads((lesson / "class_indices.json").read_text(encoding="utf-8")) == {"0": "sphynx cat", "1": "短毛猫"}
    name = Path(weights).stem
    with Image.open(lesson / f"{name}_results.png") as figure:
        assert figure.format == "PNG" and figure.width > 1000
    state = torch.load(lesson / weights, weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in state.values())

    photo = data / "val" / "短毛猫" / "短毛猫_0.jpg"
    monkeypatch.chdir(elsewhere)
    result = run_here(lesson / "predict.py", photo, *options, "--save", "figure.png")
    assert result.status == 0, result.err
    assert result.err == ""
    probabilities = [float(line.split("prob: ")[1]) for line in result.out.splitlines() if "prob: " in line]
    assert re.search(r"^class: sphynx cat   prob: [01]\.\d{3}$", result.out, re.MULTILINE)
    assert len(probabilities) == 2 and sum(probabilities) == pytest.approx(1, abs=0.002)
    with Image.open(elsewhere / "figure.png") as figure:
        assert figure.format == "PNG"


@pytest.mark.parametrize("folder", FLOWER_LESSONS)
def test_predict_without_an_image_takes_one_from_the_validation_set(
    folder: str, tmp_path: Path, data_set: Path
) -> None:
    lesson = copy_lesson(folder, tmp_path)
    trained = tmp_path / "trained"
    _, options, train_options = FLOWER_LESSONS[folder]
    options = [*options, "--data-path", data_set, "--output-dir", trained, "--device", "cpu"]
    result = run_here(lesson / "train.py", *options, *train_options, "--epochs", 1, "--workers", 0)
    assert result.status == 0, result.err
    assert not list(lesson.glob("*.pth"))

    result = run_here(lesson / "predict.py", *options)
    assert result.status == 0, result.err
    match = re.search(r"^image: (.*)  \(true class: (\w+)\)$", result.out, re.MULTILINE)
    assert Path(match[1]).parent == data_set / "val" / match[2]
    drawn = re.search(r"^drawn in (.*)$", result.out, re.MULTILINE)
    assert Path(drawn[1]).parent == trained and Path(drawn[1]).is_file()

    result = run_here(
        lesson / "predict.py", data_set / "val" / "red", data_set / "val" / "blue" / "blue_0.jpg", *options
    )
    assert re.findall(r"^image: .*?(\w+\.jpg)$", result.out, re.MULTILINE) == ["red_0.jpg", "red_1.jpg", "blue_0.jpg"]


def test_a_new_run_keeps_what_an_earlier_one_made(tmp_path: Path, data_set: Path) -> None:
    options = ["--data-path", data_set, "--output-dir", tmp_path, "--epochs", 1, "--workers", 0]
    script = copy_lesson("Test2_alexnet", tmp_path / "copy") / "train.py"
    run_here(script, *options)
    first = (tmp_path / "AlexNet.pth").read_bytes()
    result = run_here(script, *options, "--seed", 1)
    assert (tmp_path / "AlexNet_previous.pth").read_bytes() == first != (tmp_path / "AlexNet.pth").read_bytes()
    assert "AlexNet_previous.pth" in result.out

    other = draw_data_set(tmp_path / "other", classes=("apple", "pear"))  # the old weights keep their class names
    assert run_here(script, "--data-path", other, *options[2:]).status == 0
    photo = data_set / "val" / "red" / "red_0.jpg"
    predict = [script.with_name("predict.py"), photo, "--output-dir", tmp_path]
    assert "class: red " in run_here(*predict, "--weights", tmp_path / "AlexNet_previous.pth").out
    assert "class: apple " in run_here(*predict).out


def test_a_reader_that_goes_away_gets_no_traceback(tmp_path: Path, data_set: Path) -> None:
    script = copy_lesson("Test2_alexnet", tmp_path) / "train.py"
    command = [sys.executable, script, "--data-path", data_set, "--epochs", "1", "--workers", "0", "--device", "cpu"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


# the lesson's values: epochs, batch size, learning rate
DEFAULTS = {
    "Test1_official_demo": (5, 36, "0.001 for adam"),
    "Test2_alexnet": (10, 32, 0.0002),
    "Test3_vggnet": (30, 32, 0.0001),
    "Test4_googlenet": (30, 32, 0.0003),
    "Test5_resnet": (3, 16, 0.0001),
}


@pytest.mark.parametrize("folder", DEFAULTS)
def test_help_shows_the_lessons_defaults(folder: str, tmp_path: Path) -> None:
    lesson = copy_lesson(folder, tmp_path)
    help_text = " ".join(run_here(lesson / "train.py", "--help").out.split())
    epochs, batch_size, lr = DEFAULTS[folder]
    assert re.search(rf"--epochs EPOCHS [^-]*\(default: {epochs}\)", help_text)
    assert re.search(rf"--batch-size BATCH_SIZE [^-]*\(default: {batch_size}\)", help_text)
    assert re.search(rf"--lr LR [^-]*\(default:[^-]* {lr}\)", help_text)
    for option in ("--data-path", "--output-dir", "--workers", "--seed", "--device"):
        assert re.search(rf"{option} [A-Z_]+ .*?\(default: \S+", help_text)
    assert "--resume" in help_text
    help_text = " ".join(run_here(lesson / "predict.py", "--help").out.split())
    for option in ("[IMAGE ...]", "--weights", "--output-dir", "--device", "--save FIGURE"):
        assert option in help_text


# ---------------------------------------------------------------- Test1


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adagrad", "rmsprop", "adam"])
def test_lenet_learns_with_every_optimizer_and_predicts(optimizer: str, tmp_path: Path, cifar10: Path) -> None:
    lesson = copy_lesson("Test1_official_demo", tmp_path)
    options = ["--data-path", cifar10]
    result = run_here(lesson / "train.py", *options, "--optimizer", optimizer, "--batch-size", 10, "--epochs", 12)
    assert result.status == 0, result.err
    assert "using 100 images for training, 40 images for testing." in result.out
    epochs = re.findall(r"^\[epoch \d+\] train_loss: (\S+)  test_accuracy: (\S+), all test", result.out, re.MULTILINE)
    assert len(epochs) == 12 and float(epochs[-1][0]) < 0.8 * float(epochs[0][0])

    result = run_here(lesson / "predict.py", *options)
    assert result.status == 0, result.err
    assert re.search(r"^image: test image \d+  class: \w+  \(true class: \w+\)$", result.out, re.MULTILINE)
    probabilities = re.findall(r"^class: (\w+) +prob: (\S+)$", result.out, re.MULTILINE)
    assert [name for name, _ in probabilities] == [
        "plane",
        "car",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ]
    assert sum(float(prob) for _, prob in probabilities) == pytest.approx(1, abs=0.006)
    assert (lesson / "Lenet_prediction.png").is_file() and (lesson / "Lenet_results.png").is_file()


def test_lenet_reports_every_500_steps(tmp_path: Path, cifar10: Path) -> None:
    script = copy_lesson("Test1_official_demo", tmp_path) / "train.py"
    # 100 images in batches of one are 100 steps: the lesson's 500 are brought within reach
    script.write_text(script.read_text(encoding="utf-8").replace("500", "40"), encoding="utf-8")
    result = run_here(script, "--data-path", cifar10, "--batch-size", 1, "--epochs", 2)
    assert result.status == 0, result.err
    steps = re.findall(
        r"^\[(\d), +(\d+)\] train_loss: \d\.\d{3}  test_accuracy: [01]\.\d{3}$", result.out, re.MULTILINE
    )
    assert steps == [("1", "40"), ("1", "80"), ("2", "40"), ("2", "80")]


def test_lenet_measures_what_the_saved_weights_reach(tmp_path: Path, cifar10: Path) -> None:
    """The accuracy of the best epoch, against a loop of our own over the same set, one picture at a time."""
    script = copy_lesson("Test1_official_demo", tmp_path) / "train.py"
    result = run_here(script, "--data-path", cifar10, "--batch-size", 10, "--epochs", 4)
    best = max(float(accuracy) for accuracy in re.findall(r"test_accuracy: ([\d.]+), all", result.out))
    net = load("Test1_official_demo", "model").LeNet()
    net.load_state_dict(torch.load(script.parent / "Lenet.pth", weights_only=True))
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.5,) * 3)])
    test_set = CIFAR10(cifar10, train=False, transform=transform)
    right = sum(int(net(image[None]).argmax()) == label for image, label in test_set)
    assert best == pytest.approx(right / len(test_set), abs=0.0006)


def test_lenets_batch_transform_is_to_tensor_and_normalize() -> None:
    transform = load_script(ROOT / "Test1_official_demo" / "train.py")["transform"]
    pictures = torch.arange(256, dtype=torch.uint8).repeat(24).view(2, 32, 32, 3)
    one_by_one = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))])
    expected = torch.stack([one_by_one(picture.numpy()) for picture in pictures])
    assert torch.equal(transform(pictures.permute(0, 3, 1, 2)), expected)


# ---------------------------------------------------------------- weights from elsewhere


def test_vgg_starts_from_torchvisions_features(tmp_path: Path, data_set: Path) -> None:
    lesson = copy_lesson("Test3_vggnet", tmp_path)
    theirs = torchvision.models.vgg11()
    torch.save(theirs.state_dict(), tmp_path / "vgg11.pth")
    options = ["--model-name", "vgg11", "--width", 16, "--data-path", data_set, "--epochs", 1, "--workers", 0]
    # a rate so small that a step cannot be seen: what is saved is what training started from
    result = run_here(lesson / "train.py", *options, "--weights", tmp_path / "vgg11.pth", "--lr", 1e-30)
    assert result.status == 0, result.err
    saved = torch.load(lesson / "vgg11Net.pth", weights_only=True)
    for name, value in theirs.features.state_dict().items():
        torch.testing.assert_close(saved[f"features.{name}"], value, rtol=0, atol=1e-20)
    assert saved["classifier.1.weight"].shape == (16, 512 * 7 * 7)

    result = run_here(lesson / "train.py", *options, "--weights", tmp_path / "absent.pth")
    assert result.status == 1 and "no file" in result.err and "absent.pth" in result.err
    for name, words in (("vgg13", "another net"), ("vgg11_bn", "batch norm")):
        torch.save(torchvision.models.get_model(name, weights=None).state_dict(), tmp_path / "vgg11.pth")
        result = run_here(lesson / "train.py", *options, "--weights", tmp_path / "vgg11.pth")
        assert result.status == 1 and words in result.err and result.err.count("\n") == 1


@pytest.fixture
def imagenet_weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    state = torchvision.models.resnet18().state_dict()
    state["bn1.running_mean"] += 0.5  # statistics that a frozen layer must keep
    torch.save(state, tmp_path / "resnet18.pth")
    return tmp_path / "resnet18.pth"


def resnet_options(data: Path) -> list[object]:
    return ["--model-name", "resnet18", "--data-path", data, "--workers", 0, "--batch-size", 3]


def test_frozen_layers_stay_bit_for_bit_as_they_were(tmp_path: Path, data_set: Path, imagenet_weights: Path) -> None:
    lesson = copy_lesson("Test5_resnet", tmp_path)
    options = [*resnet_options(data_set), "--weights", imagenet_weights, "--freeze-layers", "--epochs", 2]
    result = run_here(lesson / "train.py", *options)
    assert result.status == 0, result.err
    before = torch.load(imagenet_weights, weights_only=True)
    last = torch.load(lesson / "resNet18_last.pth", weights_only=True)
    for name, value in last["net"].items():
        if name.startswith("fc."):
            assert value.shape[0] == 2
        else:
            assert torch.equal(value, before[name]), name
    assert [group["params"] for group in last["optimizer"]["param_groups"]] == [[0, 1]]  # fc's weight and bias alone


def test_all_layers_are_trained_without_freezing(tmp_path: Path, data_set: Path, imagenet_weights: Path) -> None:
    """The file is found by its name in the folder, as the lesson has it."""
    lesson = copy_lesson("Test5_resnet", tmp_path)
    imagenet_weights.rename(lesson / "resnet18-pre.pth")
    result = run_here(lesson / "train.py", *resnet_options(data_set), "--epochs", 1)
    assert result.status == 0, result.err
    before = torch.load(lesson / "resnet18-pre.pth", weights_only=True)
    saved = torch.load(lesson / "resNet18.pth", weights_only=True)
    same = [name for name, value in saved.items() if torch.equal(value, before[name])]
    assert same == []
    distance = max((saved[name] - before[name]).abs().max() for name in saved if name.endswith("conv1.weight"))
    assert distance < 0.001  # three steps of Adam at 0.0001: it started from the file


def test_imagenet_weights_are_fetched_and_checked(
    tmp_path: Path, data_set: Path, imagenet_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lesson = copy_lesson("Test5_resnet", tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    options = [*resnet_options(data_set), "--epochs", 1]
    official = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.value
    digest = hashlib.sha256(imagenet_weights.read_bytes()).hexdigest()[:8]

    for name in (f"resnet18-{digest}.pth", "resnet18-00000000.pth"):
        (tmp_path / name).write_bytes(imagenet_weights.read_bytes())
    for name in ("resnet18-00000000.pth", "resnet18-absent.pth"):  # a wrong hash; nothing there
        monkeypatch.setattr(official, "url", (tmp_path / name).as_uri())
        result = run_here(lesson / "train.py", *options)
        assert result.status == 1 and result.err.strip().splitlines()[-1].startswith("error: could not fetch")
        assert official.url in result.err and "resnet18-pre.pth" in result.err and "--weights none" in result.err
        assert not list(lesson.glob("*.pth"))

    monkeypatch.setattr(official, "url", (tmp_path / f"resnet18-{digest}.pth").as_uri())
    fetched = tmp_path / "cache" / "hub" / "checkpoints" / f"resnet18-{digest}.pth"
    fetched.write_bytes(b"half of it")  # fetched before by another program, and damaged
    result = run_here(lesson / "train.py", *options)
    assert result.status == 1 and result.err.count("\n") == 1 and f"{fetched} is damaged: delete it" in result.err
    fetched.unlink()
    result = run_here(lesson / "train.py", *options, "--lr", 1e-30)
    assert result.status == 0, result.err
    saved = torch.load(lesson / "resNet18.pth", weights_only=True)
    before = torch.load(imagenet_weights, weights_only=True)
    assert all(torch.equal(saved[name], before[name]) for name in saved if "conv" in name)


# ---------------------------------------------------------------- batch_predict.py


@pytest.fixture
def trained_resnet(tmp_path: Path) -> Path:
    """A copy of Test5 with weights for two classes, whose batch norm has seen pictures."""
    lesson = copy_lesson("Test5_resnet", tmp_path)
    torch.manual_seed(0)
    net = load("Test5_resnet", "model").resnet18(num_classes=2)
    net.train()(torch.randn(8, 3, 64, 64))
    torch.save(net.state_dict(), lesson / "resNet18.pth")
    (lesson / "class_indices.json").write_text('{"0": "blue", "1": "red"}', encoding="utf-8")
    return lesson


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_batch_predict_names_every_image(batch_size: int, tmp_path: Path, trained_resnet: Path) -> None:
    """Nine images, a last batch of one; the same probabilities as predict.py gives one by one."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(9):
        draw_image((20 * i, 200 - 20 * i, 100), seed=i).save(folder / f"{i} 花.jpg")
    (folder / "notes.txt").write_text("not an image", encoding="utf-8")
    options = ["--model-name", "resnet18"]
    csv_path = tmp_path / "out" / "predictions.csv"
    command = [folder, *options, "--batch-size", batch_size, "--csv", csv_path]
    result = run_here(trained_resnet / "batch_predict.py", *command)
    assert result.status == 0, result.err
    lines = re.findall(r"^image: (.*)  class: (blue|red)  prob: (\d\.\d{3})$", result.out, re.MULTILINE)
    assert [name for name, _, _ in lines] == [f"{i} 花.jpg" for i in range(9)]
    one_by_one = run_here(trained_resnet / "predict.py", folder, *options).out
    probabilities = re.findall(r"class: blue +prob: (\S+)\nclass: red +prob: (\S+)", one_by_one)
    for (_, _, prob), both in zip(lines, probabilities, strict=True):
        assert float(prob) == pytest.approx(max(map(float, both)), abs=0.0011)
    with csv_path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["image"], row["class"], f"{float(row['prob']):.3f}") for row in rows] == lines


def test_batch_predict_skips_what_it_cannot_read_and_says_so(tmp_path: Path, trained_resnet: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(3):
        draw_image((200, 50, 40), seed=i).save(folder / f"{i}.jpg")
    (folder / "1.jpg").write_text("text", encoding="utf-8")
    options = ["--model-name", "resnet18", "--batch-size", 1, "--csv", tmp_path / "a.csv"]
    for workers in (0, 2):
        result = run_here(trained_resnet / "batch_predict.py", folder, *options, "--workers", workers)
        assert result.status == 1
        assert re.findall(r"^image: (\S+)", result.out, re.MULTILINE) == ["0.jpg", "2.jpg"]
        assert re.search(r"^skipped: .*1\.jpg", result.out, re.MULTILINE)
        assert result.err.count("\n") == 1 and "1 of 3 images" in result.err
        assert (tmp_path / "a.csv").read_text(encoding="utf-8").count("\n") == 3


# ---------------------------------------------------------------- the scripts that draw


def drawing_options(script: str, lesson: Path, cifar10: Path) -> list[object]:
    """What makes a script quick, and gives it what it needs."""
    if script == "degradation.py":
        return ["--data-path", cifar10, "--images", 20, "--epochs", 1]
    if script == "signal_by_depth.py":
        return ["--model-name", "vgg11"]
    if script == "feature_maps.py":
        torch.manual_seed(0)
        torch.save(load("Test1_official_demo", "model").LeNet().state_dict(), lesson / "Lenet.pth")
    return []


# script: (folder, its picture, something it prints)
DRAWING = {
    "optimizers.py": ("Test1_official_demo", "optimizers.png", "drawn in"),
    "feature_maps.py": ("Test1_official_demo", "feature_maps.png", "class: "),
    "draw_layers.py": ("Test2_alexnet", "layers.png", "drawn in"),
    "signal_by_depth.py": ("Test3_vggnet", "signal_by_depth.png", "after the last"),
    "draw_inception.py": ("Test4_googlenet", "inception.png", "drawn in"),
    "degradation.py": ("Test5_resnet", "degradation.png", "56 layers: training loss"),
}


@pytest.mark.parametrize("script", DRAWING)
def test_drawing_scripts_draw_in_the_kind_that_is_asked_for(script: str, tmp_path: Path, cifar10: Path) -> None:
    folder, picture, words = DRAWING[script]
    lesson = copy_lesson(folder, tmp_path)
    options = drawing_options(script, lesson, cifar10)
    result = run_here(lesson / script, *options)
    assert result.status == 0, result.err
    assert words in result.out
    with Image.open(lesson / picture) as figure:
        assert figure.format == "PNG" and figure.width > 600
        assert len(figure.convert("RGB").getcolors(1_000_000)) > 50  # something is on it
    assert run_here(lesson / script, *options, "--save", tmp_path / "a.pdf").status == 0
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")


def test_the_drawn_optimizers_end_where_hand_computed_steps_do() -> None:
    """SGD on x^2/20 + y^2 with rate 0.95: x is multiplied by 0.905 in each step, y by -0.9."""
    optimizers = load_script(ROOT / "Test1_official_demo" / "optimizers.py")
    xs, ys, losses = optimizers["descend"](optimizers["OPTIMIZERS"]["SGD, lr 0.95"][0])
    for step in (0, 1, 7, 40):
        assert xs[step] == pytest.approx(-7 * 0.905**step, rel=1e-4)
        assert ys[step] == pytest.approx(2 * (-0.9) ** step, rel=1e-4)
        assert losses[step] == pytest.approx(xs[step] ** 2 / 20 + ys[step] ** 2, rel=1e-4)


def test_names_that_the_console_cannot_show(tmp_path: Path) -> None:
    """Class names outside the console's letters, and, where the system has such, a name that is not UTF-8 at all."""
    names = ["ñandú", "短毛猫"]
    with contextlib.suppress(OSError, UnicodeError):
        strange = os.fsdecode(b"\xb6\xcc")  # GBK for one of the letters above, as old archives unpack
        (tmp_path / strange).mkdir()
        names[0] = strange
    data = draw_data_set(tmp_path / "data", classes=names, train=3, val=1)
    lesson = copy_lesson("Test5_resnet", tmp_path)
    options = ["--model-name", "resnet18", "--device", "cpu"]
    train_options = ["--weights", "none", "--data-path", data, "--epochs", 1, "--workers", 0]
    photos = data / "val" / names[0]
    result = run_here(lesson / "train.py", *options, *train_options)
    assert result.status == 0, result.err
    result = run_alone(lesson / "predict.py", *options, photos, PYTHONIOENCODING="cp1252", PYTHONUTF8="0")
    assert result.status == 0 and result.err == "", result.err
    assert "class: \\u77ed\\u6bdb\\u732b" in result.out
    result = run_here(lesson / "batch_predict.py", *options, photos, "--csv", tmp_path / "a.csv", "--workers", 0)
    assert result.status == 0, result.err
    assert (tmp_path / "a.csv").read_text(encoding="utf-8").count("\n") == 2
    split = run_here(ROOT / "data_set" / "split_data.py", "--photos", data / "train", "--data-path", tmp_path / "new")
    assert split.status == 0, split.err
