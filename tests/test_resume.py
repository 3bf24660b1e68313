"""Runs that are killed, stopped, resumed and repeated."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest
import torch
from conftest import FLOWER_LESSONS, Result, copy_lesson, draw_data_set, environment, load, run_here


def train(script: Path, *options: object) -> Result:
    folder = script.parent.name
    extra: list[str] = []
    if folder in FLOWER_LESSONS:
        _, both, only_train = FLOWER_LESSONS[folder]
        extra = [*both, *only_train]
    return run_here(script, *extra, "--workers", 0, "--device", "cpu", *options)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    [path] = [path for path in folder.glob("*.pth") if not path.stem.endswith(("_last", "_previous"))]
    return torch.load(path, weights_only=True)


def last(folder: Path) -> dict:
    [path] = folder.glob("*_last.pth")
    return torch.load(path, weights_only=True)


def assert_same_end(one: Path, other: Path) -> None:
    """Both runs left the same best weights, the same last weights and the same history, bit for bit."""
    for a, b in ((weights(one), weights(other)), (last(one)["net"], last(other)["net"])):
        assert a.keys() == b.keys()
        assert all(torch.equal(a[name], b[name]) for name in a)
    assert last(one)["history"] == last(other)["history"]
    moments = [last(folder)["optimizer"]["state"] for folder in (one, other)]
    for state, twin in zip(moments[0].values(), moments[1].values(), strict=True):
        assert all(torch.equal(state[name], twin[name]) for name in state)


def test_a_run_killed_at_random_moments_ends_as_one_that_was_not(tmp_path: Path, data_set: Path) -> None:
    script = copy_lesson("Test2_alexnet", tmp_path) / "train.py"
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    options = ["--data-path", str(data_set), "--epochs", "16", "--batch-size", "3", "--device", "cpu", "--workers", "0"]
    result = run_here(script, *options, "--output-dir", straight)
    assert result.status == 0, result.err
    seconds = [float(took) for took in re.findall(r"took ([\d.]+) s", result.out)]
    an_epoch = sum(seconds) / len(seconds)

    rng = random.Random(0)
    for finished in (0, 1, 0, 2):  # epochs to wait for before the kill
        command = [sys.executable, "-u", str(script), *options, "--output-dir", str(killed)]
        if (killed / "AlexNet_last.pth").exists():
            command.append("--resume")
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as process:
            lines = iter(process.stdout.readline, "")
            assert any(line.startswith("using") and "images" in line for line in lines)  # it has started
            for _ in range(finished):
                assert any(" took " in line for line in lines)
            time.sleep(rng.uniform(0, 1) * an_epoch)  # somewhere in a step, in validation, in saving, in drawing
            assert process.poll() is None, "it ended before it was killed"
            process.kill()
    assert len(last(killed)["history"]["train_loss"]) >= 3
    result = run_here(script, *options, "--output-dir", killed, "--resume")
    assert result.status == 0, result.err
    assert_same_end(straight, killed)


@pytest.mark.parametrize("folder", [*FLOWER_LESSONS, "Test1_official_demo"])
def test_resumed_runs_end_as_straight_ones_and_seeds_decide(
    folder: str, tmp_path: Path, data_set: Path, cifar10: Path
) -> None:
    script = copy_lesson(folder, tmp_path) / "train.py"
    data = cifar10 if folder == "Test1_official_demo" else data_set
    options = ["--data-path", data, "--batch-size", 3]
    places = [tmp_path / name for name in ("straight", "again", "halves", "other seed")]
    straight, again, halves, other = places
    assert train(script, *options, "--output-dir", straight, "--epochs", 2).status == 0
    torch.rand(7)  # what this process did before does not matter
    assert train(script, *options, "--output-dir", again, "--epochs", 2).status == 0
    assert_same_end(straight, again)
    assert train(script, *options, "--output-dir", halves, "--epochs", 1).status == 0
    result = train(script, *options, "--output-dir", halves, "--epochs", 2, "--resume")
    assert result.status == 0, result.err
    assert re.findall(r"^\[epoch (\d)\]", result.out, re.MULTILINE) == ["2"]
    assert_same_end(straight, halves)
    assert train(script, *options, "--output-dir", other, "--epochs", 1, "--seed", 1).status == 0
    assert last(other)["history"]["train_loss"][0] != last(straight)["history"]["train_loss"][0]

    result = train(script, *options, "--output-dir", halves, "--epochs", 2, "--resume")
    assert result.status == 0 and "nothing left to do: 2 epochs are done" in result.out


def test_workers_do_not_change_the_numbers(tmp_path: Path, data_set: Path) -> None:
    script = copy_lesson("Test2_alexnet", tmp_path) / "train.py"
    for workers in (0, 2):
        options = ["--data-path", data_set, "--output-dir", tmp_path / str(workers), "--epochs", 3, "--batch-size", 3]
        assert train(script, *options, "--workers", workers).status == 0
    assert_same_end(tmp_path / "0", tmp_path / "2")


def test_each_epoch_has_its_own_order_and_augmentation(data_set: Path) -> None:
    from torch.utils.data import DataLoader
    from torchvision import transforms

    utils = load("Test2_alexnet", "utils")
    transform = transforms.Compose([transforms.RandomResizedCrop(8), transforms.ToTensor()])
    folder = utils.ImageFolder(data_set / "train", transform, seed=3)
    loader = DataLoader(folder, batch_size=8, shuffle=True, **utils.loader_options(1, torch.device("cpu")))

    def epoch(number: int) -> tuple[list[float], torch.Tensor]:
        utils.seed_epoch(3, number, loader)
        [(images, labels)] = list(loader)
        return [*labels.tolist(), torch.rand(1).item()], images  # the order, and the next number that dropout would get

    first = [epoch(number) for number in range(4)]
    again = [epoch(number) for number in (3, 2, 1, 0)][::-1]  # whatever workers that live on have done before
    assert len({tuple(labels) for labels, _ in first}) > 1
    for (labels, images), (same_labels, same_images) in zip(first, again, strict=True):
        assert labels == same_labels and torch.equal(images, same_images)
    assert not any(torch.equal(first[0][1], images) for _, images in first[1:])


OTHER_SETTINGS: dict[str, list[tuple[list[str], str]]] = {
    "Test1_official_demo": [(["--optimizer", "sgd"], "optimizer")],
    "Test2_alexnet": [(["--batch-size", "4"], "batch_size"), (["--lr", "0.1"], "lr"), (["--seed", "5"], "seed")],
    "Test3_vggnet": [
        (["--init", "he"], "init"),
        (["--width", "17"], "width"),
        (["--weights", "vgg11.pth"], "weights"),
    ],
    "Test4_googlenet": [(["--lr", "0.1"], "lr")],
    "Test5_resnet": [(["--freeze-layers", "--weights", "a"], "freeze_layers"), (["--weights", "a"], "weights")],
}


@pytest.mark.parametrize("folder", OTHER_SETTINGS)
def test_resuming_with_other_settings_is_refused(folder: str, tmp_path: Path, data_set: Path, cifar10: Path) -> None:
    script = copy_lesson(folder, tmp_path) / "train.py"
    options = ["--data-path", cifar10 if folder == "Test1_official_demo" else data_set, "--batch-size", 3]
    assert train(script, *options, "--epochs", 1).status == 0
    before = last(script.parent)
    for changed, name in OTHER_SETTINGS[folder]:
        result = train(script, *options, *changed, "--epochs", 2, "--resume")
        assert result.status == 1 and result.err.count("\n") == 1, result.err
        assert f"{name} " in result.err and "resume with the same" in result.err
    assert last(script.parent)["history"] == before["history"]


def test_resuming_with_another_model_or_other_data_is_refused(tmp_path: Path) -> None:
    script = copy_lesson("Test5_resnet", tmp_path) / "train.py"
    data = draw_data_set(tmp_path / "data")
    options = ["--data-path", data, "--epochs", 2, "--resume"]
    assert train(script, "--data-path", data, "--epochs", 1).status == 0

    for end in (".pth", "_last.pth"):
        shutil.copy(script.parent / f"resNet18{end}", script.parent / f"resNet34{end}")
    assert "model resnet18, not resnet34" in train(script, *options, "--model-name", "resnet34").err
    for path in script.parent.glob("resNet34*"):
        path.unlink()
    shutil.copytree(data, tmp_path / "moved")
    assert "nothing left" in train(script, "--data-path", tmp_path / "moved", "--epochs", 1, "--resume").out
    for part in ("train", "val"):
        (data / part / "red").rename(data / part / "crimson")
    assert "data " in train(script, *options).err
    for part in ("train", "val"):
        (data / part / "crimson").rename(data / part / "red")
    (data / "train" / "red" / "red_0.jpg").unlink()
    result = train(script, *options)
    assert result.status == 1 and "data " in result.err and result.err.count("\n") == 1


def test_nothing_to_resume_and_damaged_files(tmp_path: Path, data_set: Path) -> None:
    script = copy_lesson("Test4_googlenet", tmp_path) / "train.py"
    options = ["--data-path", data_set, "--epochs", 2]
    result = train(script, *options, "--resume")
    assert result.status == 1 and "nothing to resume" in result.err and result.err.count("\n") == 1
    assert train(script, "--data-path", data_set, "--epochs", 1).status == 0
    path = script.parent / "googleNet_last.pth"
    whole, state = path.read_bytes(), last(script.parent)
    for content in (b"", b"text", whole[:5000], whole[: len(whole) // 2], whole[:-1]):
        path.write_bytes(content)
        result = train(script, *options, "--resume")
        assert result.status == 1 and "damaged" in result.err and result.err.count("\n") == 1
    for spoiled in (
        {key: value for key, value in state.items() if key != "optimizer"},
        {**state, "history": {}},
        {**state, "history": {"train_loss": [1.0]}},
        {**state, "net": {}},
        {**state, "optimizer": {"state": {}, "param_groups": []}},
        state["net"],
    ):
        torch.save(spoiled, path)
        result = train(script, *options, "--resume")
        assert result.status == 1 and "damaged" in result.err and result.err.count("\n") == 1


@pytest.mark.parametrize("folder", [*FLOWER_LESSONS, "Test1_official_demo"])
def test_ctrl_c_names_resume(
    folder: str, tmp_path: Path, data_set: Path, cifar10: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = copy_lesson(folder, tmp_path) / "train.py"
    options = ["--data-path", cifar10 if folder == "Test1_official_demo" else data_set, "--batch-size", 3]
    step, steps = torch.optim.Adam.step, []

    def stop_in_second_step(self: torch.optim.Adam, *args: object) -> object:
        steps.append(1)
        if len(steps) == 2:
            raise KeyboardInterrupt
        return step(self, *args)

    monkeypatch.setattr(torch.optim.Adam, "step", stop_in_second_step)
    result = train(script, *options, "--epochs", 2)
    assert result.status == 130 and "Traceback" not in result.err
    assert "--resume" in result.err and len(result.err.strip().splitlines()) == 1
    assert not list(script.parent.glob("*.pth*"))


def test_a_loss_that_is_no_number_ends_the_run(tmp_path: Path, data_set: Path) -> None:
    script = copy_lesson("Test2_alexnet", tmp_path) / "train.py"
    result = train(script, "--data-path", data_set, "--epochs", 5, "--lr", 1e30)
    assert result.status == 1 and "--lr" in result.err and result.err.count("\n") == 1


def files_of(run: str, utils: ModuleType, save_path: Path) -> None:
    """What a run leaves, each file holding its name."""
    utils.save_weights(torch.nn.Linear(1, 1), save_path, {0: run})
    for path in (save_path, utils.last_path(save_path), utils.results_path(save_path)):
        path.write_text(run, encoding="utf-8")


def test_a_new_run_stopped_at_any_moment_gives_no_weights_another_runs_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    utils = load("Test2_alexnet", "utils")
    change, changes = Path.replace, []

    def names_of(weights: Path) -> str | None:
        path = utils.class_indices_path(weights)
        return json.loads(path.read_text(encoding="utf-8"))["0"] if path.exists() else None

    def check(save_path: Path, *kept: str) -> None:
        found = set()
        for weights in save_path.parent.glob("AlexNet*.pth"):
            if "_last" not in weights.name:
                found.add(weights.read_text(encoding="utf-8"))
                assert names_of(weights) in (weights.read_text(encoding="utf-8"), None)
        assert set(kept) <= found
        if utils.last_path(save_path).exists():  # --resume has the best weights beside it
            assert save_path.read_text(encoding="utf-8") == utils.last_path(save_path).read_text(encoding="utf-8")

    def stop(source: Path, target: Path) -> None:
        changes.append(target)
        if len(changes) >= at:
            raise KeyboardInterrupt
        change(source, target)

    for at in range(1, 20):
        save_path = tmp_path / str(at) / "AlexNet.pth"
        save_path.parent.mkdir()
        files_of("a", utils, save_path)
        utils.keep_previous(save_path)
        files_of("b", utils, save_path)
        check(save_path, "a", "b")
        changes.clear()
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", lambda self, target: stop(self, target))
            try:
                utils.keep_previous(save_path)
                files_of("c", utils, save_path)
                stopped = False
            except KeyboardInterrupt:
                stopped = True
        check(save_path, "a", "b")
        utils.keep_previous(save_path)
        check(save_path, "a", "b")
        files_of("d", utils, save_path)
        check(save_path, "a", "b", "d")
        assert names_of(save_path) == "d"
        if not stopped:
            break
    assert at == 7  # the names of "b" and its three files, the names and the weights of "c", and then no stop
    assert (save_path.parent / "AlexNet_previous3.pth").read_text(encoding="utf-8") == "c"


def test_an_earlier_runs_files_that_cannot_be_moved(tmp_path: Path) -> None:
    utils = load("Test2_alexnet", "utils")
    files_of("a", utils, tmp_path / "AlexNet.pth")
    (tmp_path / "AlexNet_last_previous.pth" / "in the way").mkdir(parents=True)
    with pytest.raises(utils.UserError, match="cannot make room"):
        utils.keep_previous(tmp_path / "AlexNet.pth")


def test_a_file_of_the_learners_in_the_output_folder_stays(tmp_path: Path) -> None:
    utils = load("Test2_alexnet", "utils")
    (tmp_path / "write_test").write_text("mine", encoding="utf-8")
    utils.check_output_dir(tmp_path / "AlexNet.pth", {0: "a"})
    assert [path.name for path in tmp_path.iterdir()] == ["write_test"]


def test_resuming_without_the_best_weights_is_refused(tmp_path: Path, data_set: Path) -> None:
    script = copy_lesson("Test2_alexnet", tmp_path) / "train.py"
    assert train(script, "--data-path", data_set, "--epochs", 1).status == 0
    (script.parent / "AlexNet.pth").rename(tmp_path / "AlexNet.pth")
    result = train(script, "--data-path", data_set, "--epochs", 2, "--resume")
    assert result.status == 1 and "there is no" in result.err and "AlexNet.pth" in result.err


NO_SIGNALS = pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C sent to a child would reach its parent too")


@NO_SIGNALS
def test_ctrl_c_while_torch_is_loaded_gets_no_traceback(tmp_path: Path) -> None:
    script = copy_lesson("Test2_alexnet", tmp_path) / "train.py"
    (tmp_path / "torch.py").write_text("import time\nprint('loading', flush=True)\ntime.sleep(60)\n", encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import runpy; "
         f"sys.path.insert(1, {str(script.parent)!r}); runpy.run_path({str(script)!r})"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout.readline() == "loading\n"
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == ""
    assert process.returncode == -signal.SIGINT


@NO_SIGNALS
def test_ctrl_c_while_workers_start_is_one_line(tmp_path: Path, data_set: Path) -> None:
    """With workers that are spawned, as on Windows and macOS: they load torch for seconds."""
    script = copy_lesson("Test2_alexnet", tmp_path) / "train.py"
    (tmp_path / "sitecustomize.py").write_text(
        "import multiprocessing\nmultiprocessing.set_start_method('spawn')\n", encoding="utf-8"
    )
    command = [sys.executable, "-u", script, "--data-path", data_set, "--workers", "2", "--device", "cpu"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env=environment(PYTHONPATH=str(tmp_path)),
    ) as process:  # fmt: skip
        assert any("images for training" in line for line in iter(process.stdout.readline, ""))
        time.sleep(1)  # the workers are there, and load torch
        os.killpg(process.pid, signal.SIGINT)  # the whole group gets it, as from a terminal
        err = process.stderr.read()
    assert process.returncode == 130
    assert err.strip() == "stopped: --resume goes on from the last finished epoch, if there is one"


def test_writing_goes_to_what_a_link_points_to(tmp_path: Path) -> None:
    utils = load("Test2_alexnet", "utils")
    (tmp_path / "target").write_text("old", encoding="utf-8")
    (tmp_path / "folder").mkdir()
    with pytest.raises(utils.UserError, match="it is no file"):
        utils.write_atomically(tmp_path / "folder", Path.touch)
    try:
        (tmp_path / "link").symlink_to(tmp_path / "target")
    except OSError:  # Windows lets only some users make links, and then there are none to write to
        return
    utils.write_atomically(tmp_path / "link", lambda unfinished: unfinished.write_text("new", encoding="utf-8"))
    assert (tmp_path / "link").is_symlink() and (tmp_path / "target").read_text(encoding="utf-8") == "new"


def test_writing_is_all_or_nothing(tmp_path: Path) -> None:
    utils = load("Test2_alexnet", "utils")
    path = tmp_path / "file"
    path.write_text("old", encoding="utf-8")

    def stop_half_way(unfinished: Path) -> None:
        unfinished.write_text("ne", encoding="utf-8")
        assert path.read_text(encoding="utf-8") == "old"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        utils.write_atomically(path, stop_half_way)
    assert path.read_text(encoding="utf-8") == "old" and list(tmp_path.iterdir()) == [path]
    utils.write_atomically(path, lambda unfinished: unfinished.write_text("new", encoding="utf-8"))
    assert path.read_text(encoding="utf-8") == "new" and list(tmp_path.iterdir()) == [path]
