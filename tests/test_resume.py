"""Nothing is lost: a run killed at any moment goes on as if it had not been, and an earlier run's files are kept."""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import FLOWER_LESSONS, LESSONS, draw_data_set, fails, load, quick_lesson, run_here, tiny_lesson

KILL = getattr(signal, "SIGKILL", signal.SIGTERM)


def same(one: object, other: object) -> bool:
    """Whether two saved files hold the same, bit for bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def files(folder: Path, stem: str = "AlexNet") -> list[object]:
    return [torch.load(folder / f"{stem}{end}.pth", weights_only=True) for end in ("", "_last")]


@pytest.mark.parametrize("folder", LESSONS)
def test_a_resumed_run_ends_as_a_straight_one_and_seeds_decide(
    folder: str, tmp_path: Path, data_set: Path, cifar10: Path
) -> None:
    weights, options, extra = FLOWER_LESSONS.get(folder, ("Lenet.pth", [], []))
    data = {"Test1_official_demo": cifar10, "Test2_alexnet": data_set}.get(folder) or draw_data_set(
        tmp_path / "d", train=2, val=1
    )
    script, stem = quick_lesson(folder, tmp_path) / "train.py", weights.removesuffix(".pth")

    def train(out: str, *more: object) -> list[object]:
        fixed = ["--data-path", data, "--output-dir", tmp_path / out, "--batch-size", 4, "--workers", 0]
        result = run_here(script, *fixed, *options, *extra, *more)
        assert result.status == 0, result.err
        return files(tmp_path / out, stem)

    straight = train("straight", "--epochs", 2)
    train("resumed", "--epochs", 1)
    assert same(train("resumed", "--epochs", 2, "--resume"), straight)
    assert same(train("resumed", "--epochs", 2, "--resume"), straight)  # nothing was left to do
    assert not same(train("other", "--epochs", 2, "--seed", 1), straight)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_killed_at_random_moments_ends_as_one_that_was_not(workers: int, tmp_path: Path, data_set: Path) -> None:
    """Killed a moment after one of its files has changed: while it trains, validates, saves or draws."""
    script = tiny_lesson(tmp_path) / "train.py"
    options = ["--data-path", data_set, "--batch-size", 3, "--epochs", 5, "--workers", workers]
    command = [sys.executable, str(script), *map(str, options)]
    environment = {**os.environ, "MPLBACKEND": "agg"}
    subprocess.run(
        [*command, "--output-dir", str(tmp_path / "straight")], check=True, capture_output=True, env=environment
    )

    rng, out, last = random.Random(0), tmp_path / "killed", tmp_path / "killed" / "AlexNet_last.pth"
    kills = 0
    for _ in range(3):
        resume = ["--resume"] if last.exists() else []
        process = subprocess.Popen(
            [*command, "--output-dir", str(out), *resume],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment, start_new_session=True,
        )  # fmt: skip
        before = last.stat().st_mtime_ns if last.exists() else 0
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if last.exists() and last.stat().st_mtime_ns != before:  # an epoch has ended: the next one has begun
                time.sleep(rng.uniform(0, 0.15))
                if hasattr(os, "killpg"):
                    os.killpg(process.pid, KILL)
                else:
                    process.kill()
                kills += 1
                break
            time.sleep(0.002)
        error = process.communicate(timeout=120)[1]
        if process.returncode == 0:
            break
        assert b"Error" not in error, error
    else:
        subprocess.run(
            [*command, "--output-dir", str(out), "--resume"], check=True, capture_output=True, env=environment
        )
    assert kills >= 2
    assert same(files(out), files(tmp_path / "straight"))


def test_an_earlier_runs_files_are_kept_once(tmp_path: Path, data_set: Path) -> None:
    script = tiny_lesson(tmp_path) / "train.py"
    out = tmp_path / "out"
    options = ["--data-path", data_set, "--output-dir", out, "--epochs", 1, "--workers", 0]
    runs = []
    for seed in (1, 2, 3, 4):
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


def test_a_new_run_stopped_at_any_moment_gives_no_weights_another_runs_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_ctrl_c_and_a_terminated_run_leave_what_was_saved(tmp_path: Path, data_set: Path) -> None:
    """A log, which is no terminal, gets every line at once: none is lost when the run is ended from outside."""
    script, log = tiny_lesson(tmp_path) / "train.py", tmp_path / "log.txt"
    options = ["--data-path", data_set, "--epochs", 1000, "--workers", 0]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    for number, status in ((signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 130)):
        with log.open("w") as file:
            command = [sys.executable, str(script), *map(str, options)]
            process = subprocess.Popen(command, stdout=file, stderr=subprocess.PIPE, env=environment)
            while "epoch 2 took" not in log.read_text(encoding="utf-8") and process.poll() is None:
                time.sleep(0.05)
            process.send_signal(number)
            error = process.communicate(timeout=60)[1]
        assert process.returncode == status and b"Traceback" not in error
        assert "[epoch 2]" in log.read_text(encoding="utf-8")
        assert script.with_name("AlexNet_last.pth").exists()
