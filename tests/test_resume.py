"""Nothing is lost: a run killed at any moment goes on as if it had not been, and an earlier run's files are kept."""

import io
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest
import torch
from running import Killed, Tiny, fails, is_stopped, same, start, works


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_killed_at_random_moments_ends_as_one_that_was_not(
    workers: int, tiny: Tiny, tmp_path: Path
) -> None:
    """Killed a moment after one of its files has changed: while it trains, validates, saves or draws."""
    script, out, rng = tiny.folder / "train.py", tmp_path / "killed", random.Random(0)
    options = [
        "--data-path",
        tiny.data,
        "--batch-size",
        3,
        "--epochs",
        8,
        "--workers",
        workers,
        "--output-dir",
    ]
    last = out / "AlexNet_last.pth"
    for _ in range(2):
        before = last.stat().st_mtime_ns if last.exists() else 0
        process = start(script, *options, out, *(["--resume"] if before else []))
        while process.is_alive():
            if (
                last.exists() and last.stat().st_mtime_ns != before
            ):  # an epoch has ended: the next one has begun
                time.sleep(rng.uniform(0, 0.15))
                process.kill()
                break
            time.sleep(0.002)
        process.join()
        assert process.exitcode != 0  # it was killed
    started = [
        start(script, *options, out, "--resume"),
        start(script, *options, tmp_path / "straight"),
    ]
    assert [process.join() or process.exitcode for process in started] == [0, 0]
    for name in ("AlexNet.pth", "AlexNet_last.pth"):
        assert same(
            *(torch.load(place / name, weights_only=True) for place in (out, tmp_path / "straight"))
        )


def test_an_earlier_runs_files_are_kept_once(tiny: Tiny, tmp_path: Path) -> None:
    out, runs = tmp_path / "out", []
    for seed in (1, 2, 3):
        result = tiny.train("--output-dir", out, "--seed", seed)
        assert ("AlexNet_previous.pth" in result.out) == (seed > 1)
        runs.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert len(runs[-1]) == 10 and runs[-1].keys() == runs[-2].keys()
    for end in (".pth", "_last.pth", "_results.png", "_mistakes.png"):
        previous = runs[-1][f"AlexNet{end}".replace(".", "_previous.")]
        assert previous == runs[-2][f"AlexNet{end}"] != runs[-1][f"AlexNet{end}"]
    assert runs[-1]["class_indices_AlexNet_previous.json"] == runs[-2]["class_indices.json"]
    works(tiny.predict("--output-dir", out, "--weights", out / "AlexNet_previous.pth"))


def test_weights_keep_their_names_whenever_a_run_stops(helpers: ModuleType, tmp_path: Path) -> None:
    """Killed before each of the calls that change a file, in a folder that holds two earlier runs' files."""
    operations = [(Path, "replace"), (Path, "unlink"), (helpers.shutil, "copy")]

    def run(folder: Path, name: str) -> None:
        helpers.keep_previous(folder / "AlexNet.pth", {0: name}, resume=False)
        helpers.save(json.dumps({0: name}), folder / "class_indices.json")
        helpers.save({"weights of": name}, folder / "AlexNet.pth")
        helpers.save({"state of": name}, folder / "AlexNet_last.pth")

    stopped, at = True, 0
    while stopped:
        at += 1
        folder = tmp_path / str(at)
        run(folder, "first")
        run(folder, "second")
        stopped = is_stopped(at, Killed, operations, run, folder, "third")
        for weights in folder.glob("AlexNet*.pth"):
            state = torch.load(weights, weights_only=True)
            if "weights of" in state:
                assert helpers.read_classes(weights) == {"0": state["weights of"]}, (
                    at,
                    weights.name,
                )
        last, best = folder / "AlexNet_last.pth", folder / "AlexNet.pth"
        if last.exists():  # --resume goes on only with a run whose best weights are there
            assert (
                torch.load(last, weights_only=True)["state of"]
                == torch.load(best, weights_only=True)["weights of"]
            )
    assert at >= 9


def test_the_names_that_another_nets_weights_need_are_not_replaced(
    helpers: ModuleType, tmp_path: Path
) -> None:
    for name in (
        "vgg11Net",
        "vgg11Net_last",
        "my_pre",
    ):  # the last is the learner's own: no reason to refuse anything
        torch.save({}, tmp_path / f"{name}.pth")
    names = json.dumps({"1": "rote Rose", "0": "Gänseblümchen"}, indent=1).replace("\n", "\r\n")
    (tmp_path / "class_indices.json").write_text("\ufeff" + names, encoding="utf-8", newline="")
    same_names = {0: "Gänseblümchen", 1: "rote Rose"}
    helpers.keep_previous(
        tmp_path / "vgg16Net.pth", same_names, resume=False
    )  # the same, however it is written
    with pytest.raises(helpers.UserError, match="vgg11Net"):
        helpers.keep_previous(tmp_path / "vgg16Net.pth", {0: "cat", 1: "dog"}, resume=False)
    (tmp_path / "vgg11Net_last.pth").unlink()
    helpers.keep_previous(tmp_path / "vgg16Net.pth", {0: "cat", 1: "dog"}, resume=False)


def test_nothing_to_resume_and_damaged_files(tiny: Tiny) -> None:
    fails(tiny.train("--resume"), "AlexNet_last.pth")
    tiny.train()
    whole, other = tiny.last_path.read_bytes(), io.BytesIO()
    torch.save({"model": {}}, other)
    for content in (b"", b"junk", whole[: len(whole) // 2], other.getvalue()):
        tiny.last_path.write_bytes(content)
        fails(tiny.train("--resume"), "AlexNet_last.pth")


def test_fused_adam_gets_its_state_in_its_weights_layout(
    helpers: ModuleType, tmp_path: Path
) -> None:
    """A run of another memory layout, as on a Mac, goes on as it would have there."""
    images = torch.randn(4, 8, 6, 6, generator=torch.Generator().manual_seed(0))
    nets = [
        torch.nn.Conv2d(8, 16, 3).to(memory_format=f)
        for f in (torch.contiguous_format, torch.channels_last)
    ]
    optimizers = [torch.optim.Adam(net.parameters(), lr=0.1, fused=True) for net in nets]

    def steps(number: int) -> None:
        for _ in range(3):
            optimizers[number].zero_grad()
            nets[number](images).square().mean().backward()
            optimizers[number].step()

    steps(0)
    helpers.save_checkpoint(tmp_path / "last.pth", [], net=nets[0], optimizer=optimizers[0])
    helpers.load_checkpoint(tmp_path / "last.pth", net=nets[1], optimizer=optimizers[1])
    assert (
        optimizers[1].state[nets[1].weight]["exp_avg"].stride()
        == nets[1].weight.stride()
        != nets[0].weight.stride()
    )
    steps(0)
    steps(1)
    assert torch.allclose(nets[0].weight, nets[1].weight, atol=1e-5)


def test_a_loss_that_is_no_number_ends_the_run_before_anything_is_saved(tiny: Tiny) -> None:
    fails(
        tiny.train(changes=[("running_loss += loss.item()", "running_loss += math.inf")]),
        "diverged",
    )
    assert not list(tiny.folder.glob("*.pth"))


def test_a_terminated_run_leaves_its_log_and_what_was_saved(tiny: Tiny, tmp_path: Path) -> None:
    """A log, which is no terminal, gets every line at once: none is lost when the run is ended from outside."""
    script, log = tiny.folder / "train.py", tmp_path / "log.txt"
    command = [
        sys.executable,
        script,
        "--data-path",
        tiny.data,
        "--epochs",
        "1000",
        "--workers",
        "0",
    ]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.PIPE, env=environment)
        while not tiny.last_path.exists() and process.poll() is None:
            time.sleep(0.01)
        assert "[epoch 1]" in log.read_text(
            encoding="utf-8"
        )  # it is printed before that file is written
        process.terminate()
        assert process.communicate()[1] == b"" and process.returncode != 0
