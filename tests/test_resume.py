"""Nothing is lost: a run killed at any moment goes on as if it had not been, and an earlier run's files are kept."""

import itertools
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import Patch, fails, load, run_here, same, start, tiny_lesson


def files(folder: Path, stem: str = "AlexNet") -> list[object]:
    return [torch.load(folder / f"{stem}{end}.pth", weights_only=True) for end in ("", "_last")]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_killed_at_random_moments_ends_as_one_that_was_not(workers: int, tmp_path: Path, data_set: Path) -> None:
    """Killed a moment after one of its files has changed: while it trains, validates, saves or draws."""
    script, out, rng = tiny_lesson(tmp_path) / "train.py", tmp_path / "killed", random.Random(0)
    options = ["--data-path", data_set, "--batch-size", 3, "--epochs", 6, "--workers", workers, "--output-dir"]
    last, kills = out / "AlexNet_last.pth", 0
    for _ in range(3):
        before = last.stat().st_mtime_ns if last.exists() else 0
        process = start(script, *options, out, *(["--resume"] if before else []))
        while process.is_alive():
            if last.exists() and last.stat().st_mtime_ns != before:  # an epoch has ended: the next one has begun
                time.sleep(rng.uniform(0, 0.15))
                process.kill()
                kills += 1
                break
            time.sleep(0.002)
        process.join()
    for place, *resume in ((out, "--resume"), (out, "--resume"), (tmp_path / "straight",)):  # the second has no work
        process = start(script, *options, place, *resume)
        process.join()
        assert process.exitcode == 0
    assert kills >= 2
    assert same(files(out), files(tmp_path / "straight"))


def test_an_earlier_runs_files_are_kept_once(tmp_path: Path, data_set: Path) -> None:
    script = tiny_lesson(tmp_path) / "train.py"
    out = tmp_path / "out"
    options = ["--data-path", data_set, "--output-dir", out, "--epochs", 1, "--workers", 0]
    runs = []
    for seed in (1, 2, 3):
        result = run_here(script, *options, "--seed", seed)
        assert ("AlexNet_previous.pth" in result.out) == (seed > 1)
        runs.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert len(runs[-1]) == 10 and runs[-1].keys() == runs[-2].keys()
    for end in (".pth", "_last.pth", "_results.png", "_mistakes.png"):
        previous = runs[-1][f"AlexNet{end}".replace(".", "_previous.")]
        assert previous == runs[-2][f"AlexNet{end}"] != runs[-1][f"AlexNet{end}"]
    assert runs[-1]["class_indices_AlexNet_previous.json"] == runs[-2]["class_indices.json"]
    predict = [script.with_name("predict.py"), data_set / "val" / "red", "--output-dir", out]
    assert run_here(*predict, "--weights", out / "AlexNet_previous.pth").status == 0


class Stop(BaseException):
    """As a kill: nothing that handles errors handles it."""


def test_weights_keep_their_names_whenever_a_run_stops(tmp_path: Path, monkeypatch: Patch) -> None:
    """Stopped before each of the calls that change a file, in a folder that holds two earlier runs' files."""
    helpers = load("Test2_alexnet", "helpers")

    def run(folder: Path, name: str, stop: int) -> bool:
        """A run of the class `name`; whether it came to its end before its call number `stop`."""
        save_path, calls = folder / "AlexNet.pth", itertools.count()

        def counted(call: object) -> object:
            def stopping(*args: object, **options: object) -> object:
                if next(calls) == stop:
                    raise Stop
                return call(*args, **options)

            return stopping

        with monkeypatch.context() as patch:
            for name_of_call in ("replace", "unlink"):
                patch.setattr(Path, name_of_call, counted(getattr(Path, name_of_call)))
            patch.setattr(helpers.shutil, "copy", counted(helpers.shutil.copy))
            try:
                helpers.keep_previous(save_path, {0: name}, resume=False)
                helpers.save(json.dumps({0: name}), folder / "class_indices.json")
                helpers.save({"weights of": name}, save_path)
                helpers.save({"state of": name}, folder / "AlexNet_last.pth")
            except Stop:
                return False
        return True

    for stop in itertools.count():
        folder = tmp_path / str(stop)
        for name in ("first", "second"):
            assert run(folder, name, stop=-1)
        done = run(folder, "third", stop)
        for weights in folder.glob("AlexNet*.pth"):
            state = torch.load(weights, weights_only=True)
            if "weights of" in state:
                assert helpers.read_classes(weights) == {"0": state["weights of"]}, (stop, weights.name)
        last, best = folder / "AlexNet_last.pth", folder / "AlexNet.pth"
        if last.exists():  # --resume goes on only with a run whose best weights are there
            assert torch.load(last, weights_only=True)["state of"] == torch.load(best, weights_only=True)["weights of"]
        if done:
            break
    assert stop >= 8


def test_the_names_that_another_nets_weights_need_are_not_replaced(tmp_path: Path) -> None:
    helpers = load("Test2_alexnet", "helpers")
    torch.save({}, tmp_path / "vgg11Net.pth")
    torch.save({}, tmp_path / "vgg11Net_last.pth")
    torch.save({}, tmp_path / "my_pre.pth")  # the learner's own: no reason to refuse anything
    names = json.dumps({"1": "rote Rose", "0": "Gänseblümchen"}, indent=1).replace("\n", "\r\n")
    (tmp_path / "class_indices.json").write_text("\ufeff" + names, encoding="utf-8", newline="")
    same_names = {0: "Gänseblümchen", 1: "rote Rose"}
    helpers.keep_previous(tmp_path / "vgg16Net.pth", same_names, resume=False)  # the same, however it is written
    with pytest.raises(helpers.UserError, match="vgg11Net"):
        helpers.keep_previous(tmp_path / "vgg16Net.pth", {0: "cat", 1: "dog"}, resume=False)
    (tmp_path / "vgg11Net_last.pth").unlink()
    helpers.keep_previous(tmp_path / "vgg16Net.pth", {0: "cat", 1: "dog"}, resume=False)


def test_nothing_to_resume_and_damaged_files(tmp_path: Path, data_set: Path) -> None:
    script = tiny_lesson(tmp_path) / "train.py"
    last = script.with_name("AlexNet_last.pth")
    options = ["--data-path", data_set, "--epochs", 1, "--workers", 0]
    fails(run_here(script, *options, "--resume"), last.name)
    run_here(script, *options)
    whole = last.read_bytes()
    for content in (b"", b"junk", whole[: len(whole) // 2]):
        last.write_bytes(content)
        fails(run_here(script, *options, "--resume"), last.name)
    torch.save({"model": {}}, last)
    fails(run_here(script, *options, "--resume"), last.name)


def test_fused_adam_gets_its_state_in_its_weights_layout(tmp_path: Path) -> None:
    """A run of another memory layout, as on a Mac, goes on as it would have there."""
    helpers = load("Test2_alexnet", "helpers")
    images = torch.randn(4, 8, 6, 6, generator=torch.Generator().manual_seed(0))

    def make(layout: torch.memory_format) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        net = torch.nn.Conv2d(8, 16, 3).to(memory_format=layout)
        return net, torch.optim.Adam(net.parameters(), lr=0.1, fused=True)

    def steps(net: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        for _ in range(3):
            optimizer.zero_grad()
            net(images).square().mean().backward()
            optimizer.step()

    straight, resumed = make(torch.contiguous_format), make(torch.channels_last)
    steps(*straight)
    helpers.save_checkpoint(tmp_path / "last.pth", [], net=straight[0], optimizer=straight[1])
    helpers.load_checkpoint(tmp_path / "last.pth", net=resumed[0], optimizer=resumed[1])
    state = resumed[1].state[resumed[0].weight]
    assert state["exp_avg"].stride() == resumed[0].weight.stride() != straight[0].weight.stride()
    steps(*straight)
    steps(*resumed)
    assert torch.allclose(straight[0].weight, resumed[0].weight, atol=1e-5)


def test_a_loss_that_is_no_number_ends_the_run_before_anything_is_saved(tmp_path: Path, data_set: Path) -> None:
    script = tiny_lesson(tmp_path) / "train.py"
    text = script.read_text(encoding="utf-8").replace("running_loss += loss.item()", "running_loss += math.inf")
    script.write_text(text, encoding="utf-8")
    result = run_here(script, "--data-path", data_set, "--epochs", 2, "--workers", 0)
    fails(result, "diverged")
    assert not script.with_name("AlexNet.pth").exists() and not script.with_name("AlexNet_last.pth").exists()


def test_a_terminated_run_leaves_its_log_and_what_was_saved(tmp_path: Path, data_set: Path) -> None:
    """A log, which is no terminal, gets every line at once: none is lost when the run is ended from outside."""
    script, log = tiny_lesson(tmp_path) / "train.py", tmp_path / "log.txt"
    command = [sys.executable, script, "--data-path", data_set, "--epochs", "1000", "--workers", "0"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.PIPE, env=environment)
        while "epoch 2 took" not in log.read_text(encoding="utf-8") and process.poll() is None:
            time.sleep(0.05)
        process.terminate()
        assert process.communicate()[1] == b"" and process.returncode != 0
    assert "[epoch 2]" in log.read_text(encoding="utf-8") and script.with_name("AlexNet_last.pth").exists()
