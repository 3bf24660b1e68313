"""The scripts, run as a learner runs them: in a copy of one folder, with nothing beside it."""

import json
import re
from pathlib import Path

import pytest
import torch
from conftest import copy_lesson, draw_data_set, run_alone, run_here
from PIL import Image

# folder: (its weights file, the most that train.py can be asked to do quickly)
FLOWER_LESSONS = {"Test2_alexnet": "AlexNet.pth"}


@pytest.mark.parametrize("folder", FLOWER_LESSONS)
def test_a_folder_alone_trains_and_predicts_from_any_directory(folder: str, tmp_path: Path) -> None:
    """Two classes of other names, one with a space and letters that are not ASCII; workers that are spawned."""
    weights = FLOWER_LESSONS[folder]
    lesson = copy_lesson(folder, tmp_path)
    data = draw_data_set(tmp_path / "my data", classes=("短毛猫", "sphynx cat"), train=3, val=1)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "sitecustomize.py").write_text(
        "import multiprocessing\nmultiprocessing.set_start_method('spawn')\n", encoding="utf-8"
    )
    options = ["--data-path", data, "--epochs", 1, "--batch-size", 3, "--workers", 1]
    result = run_alone(lesson / "train.py", *options, cwd=elsewhere, PYTHONPATH=str(elsewhere))
    assert result.status == 0, result.err
    assert result.err == ""
    lines = result.out.splitlines()
    assert re.fullmatch(r"using \S+ device\.", lines[0])
    assert lines[1] == "using 6 images for training, 2 images for validation."
    assert re.fullmatch(r"train epoch\[1/1\] 100%\[\*{50}->\] loss:\d+\.\d{3}", lines[2])
    assert re.fullmatch(r"\[epoch 1\] train_loss: \d+\.\d{3}  val_accuracy: [01]\.\d{3}", lines[3])
    assert re.fullmatch(r"epoch 1 took \d+\.\d s", lines[4])
    assert lines[-1] == "Finished Training"
    assert json.loads((lesson / "class_indices.json").read_text(encoding="utf-8")) == {"0": "sphynx cat", "1": "短毛猫"}
    name = Path(weights).stem
    with Image.open(lesson / f"{name}_results.png") as figure:
        assert figure.format == "PNG" and figure.width > 1000
    state = torch.load(lesson / weights, weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in state.values())

    photo = data / "val" / "短毛猫" / "短毛猫_0.jpg"
    result = run_alone(lesson / "predict.py", photo, "--save", "figure.png", cwd=elsewhere)
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
    options = ["--data-path", data_set, "--output-dir", trained, "--device", "cpu"]
    assert run_here(lesson / "train.py", *options, "--epochs", 1, "--workers", 0).status == 0
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


# the lesson's values: epochs, batch size, learning rate
DEFAULTS = {"Test2_alexnet": (10, 32, 0.0002)}


@pytest.mark.parametrize("folder", DEFAULTS)
def test_help_shows_the_lessons_defaults(folder: str, tmp_path: Path) -> None:
    lesson = copy_lesson(folder, tmp_path)
    help_text = " ".join(run_here(lesson / "train.py", "--help").out.split())
    epochs, batch_size, lr = DEFAULTS[folder]
    assert re.search(rf"--epochs EPOCHS [^-]*\(default: {epochs}\)", help_text)
    assert re.search(rf"--batch-size BATCH_SIZE [^-]*\(default: {batch_size}\)", help_text)
    assert re.search(rf"--lr LR [^-]*\(default: {lr}\)", help_text)
    for option in ("--data-path", "--output-dir", "--workers", "--seed", "--device"):
        assert re.search(rf"{option} [A-Z_]+ .*?\(default: \S+", help_text)
    assert "--resume" in help_text
    help_text = " ".join(run_here(lesson / "predict.py", "--help").out.split())
    for option in ("[IMAGE ...]", "--weights", "--output-dir", "--device", "--save FIGURE"):
        assert option in help_text
