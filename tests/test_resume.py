"""Nothing is lost: a killed run goes on, bit for bit, and an earlier run's files are kept."""

import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
import time
from argparse import Namespace
from multiprocessing import Process
from pathlib import Path
from types import ModuleType
from unittest.mock import Mock

import pytest
import torch
from drawn import draw_data_set
from running import Killed, Patch, Tiny, fails, is_stopped, same, start, works

CATS, DOGS = ("persian", "siamese"), ("boxer", "poodle", "pug")
NEW_RUN, RESUMED_RUN = Namespace(resume=False), Namespace(resume=True)


def files(folder: Path) -> dict[str, str]:
    """A hash of every file in a folder, but for the lock."""
    found = {}
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name != ".train.lock":
            found[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def names_for(tiny: Tiny, weights: Path) -> set[str]:
    """The names that predict.py gives to the classes of a weights file's net."""
    result = works(tiny.predict("--weights", weights))
    return {line.split()[1] for line in result.lines("class: ")}


# ---- going on ----


def wait_for(path: Path, process: Process, changed_since: int = 0) -> None:
    """Wait until a process has written a file, or has ended."""
    while process.is_alive():
        if path.exists() and path.stat().st_mtime_ns != changed_since:
            return
        time.sleep(0.002)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_killed_at_random_moments_ends_as_one_that_was_not(
    workers: int, tiny: Tiny, tmp_path: Path
) -> None:
    """Killed a moment after an epoch: while it trains, validates, saves or draws."""
    script = tiny.folder / "train.py"
    killed, straight = tmp_path / "killed", tmp_path / "straight"
    last = killed / "AlexNet_last.pth"
    options = ["--data-path", tiny.data, "--batch-size", 3, "--epochs", 8, "--workers", workers]
    rng = random.Random(0)
    for more in ([], ["--resume"]):
        before = last.stat().st_mtime_ns if last.exists() else 0
        process = start(script, *options, "--output-dir", killed, *more)
        wait_for(last, process, before)
        time.sleep(rng.uniform(0, 0.15))
        process.kill()
        process.join()
        assert process.exitcode != 0  # it was killed before it had ended
    resumed = start(script, *options, "--output-dir", killed, "--resume")
    at_once = start(script, *options, "--output-dir", straight)
    for process in (resumed, at_once):
        process.join()
        assert process.exitcode == 0
    for name in ("AlexNet.pth", "AlexNet_last.pth"):
        one = torch.load(killed / name, weights_only=True)
        other = torch.load(straight / name, weights_only=True)
        for state in (one, other):
            state.pop("options", None)  # they name the folders
        assert same(one, other)


def test_what_a_checkpoint_holds(tiny: Tiny) -> None:
    works(tiny.train("--lr", 0.25))
    saved = tiny.last()
    assert list(saved) == ["options", "kinds", "state", "history", "best_acc"]
    assert saved["options"]["lr"] == 0.25
    assert saved["kinds"] == {"net": "AlexNet", "optimizer": "Adam"}
    assert saved["state"].keys() == saved["kinds"].keys()
    assert saved["best_acc"] == max(row["val_accuracy"] for row in saved["history"])


def test_nothing_to_resume_writes_nothing(tiny: Tiny, tmp_path: Path) -> None:
    before = files(tiny.folder)
    fails(tiny.train("--resume"), "AlexNet_last.pth", "--resume")
    assert files(tiny.folder) == before
    works(tiny.train())
    tiny.last_path.unlink()
    before = files(tiny.folder)
    tiny.data = draw_data_set(tmp_path / "cats", CATS)
    fails(tiny.train("--resume"), "AlexNet_last.pth", "--resume")
    assert files(tiny.folder) == before


def test_nothing_to_resume_makes_no_folder(tiny: Tiny, tmp_path: Path) -> None:
    place = tmp_path / "mistyped"
    fails(tiny.train("--resume", "--output-dir", place), place / "AlexNet_last.pth")
    assert not place.exists()


def test_resuming_without_the_best_weights_so_far(tiny: Tiny) -> None:
    works(tiny.train())
    (tiny.folder / "AlexNet.pth").rename(tiny.folder / "moved.pth")
    before = files(tiny.folder)
    fails(tiny.train("--resume", "--epochs", 3), "AlexNet.pth", "--resume")
    assert files(tiny.folder) == before
    (tiny.folder / "moved.pth").rename(tiny.folder / "AlexNet.pth")
    works(tiny.train("--resume", "--epochs", 3))


def test_resuming_with_other_classes(tiny: Tiny, tmp_path: Path) -> None:
    works(tiny.train())
    before = files(tiny.folder)
    tiny.data = draw_data_set(tmp_path / "cats", CATS)
    fails(tiny.train("--resume", "--epochs", 3), "class_indices.json")
    assert files(tiny.folder) == before


def test_damaged_files_to_resume(tiny: Tiny) -> None:
    works(tiny.train())
    whole = tiny.last_path.read_bytes()
    other = io.BytesIO()
    torch.save({"model": {}}, other)
    for content in (b"", b"junk", whole[: len(whole) // 2], other.getvalue()):
        tiny.last_path.write_bytes(content)
        fails(tiny.train("--resume"), "AlexNet_last.pth")


def test_fused_adam_gets_its_state_in_its_weights_layout(
    helpers: ModuleType, tmp_path: Path
) -> None:
    """A run in another memory layout goes on as it would have in its own."""
    images = torch.randn(4, 8, 6, 6, generator=torch.Generator().manual_seed(0))
    path = tmp_path / "last.pth"

    def make(layout: torch.memory_format) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        net = torch.nn.Conv2d(8, 16, 3).to(memory_format=layout)
        return net, torch.optim.Adam(net.parameters(), lr=0.1, fused=True)

    def steps(net: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        for _ in range(3):
            optimizer.zero_grad()
            net(images).square().mean().backward()
            optimizer.step()

    net, optimizer = make(torch.contiguous_format)
    steps(net, optimizer)
    helpers.save_checkpoint(path, Namespace(), history=[], net=net, optimizer=optimizer)
    other_net, other_optimizer = make(torch.channels_last)
    helpers.load_checkpoint(path, Namespace(), net=other_net, optimizer=other_optimizer)
    mean = other_optimizer.state[other_net.weight]["exp_avg"]
    assert mean.stride() == other_net.weight.stride() != net.weight.stride()
    steps(net, optimizer)
    steps(other_net, other_optimizer)
    assert torch.allclose(net.weight, other_net.weight, atol=1e-5)


# ---- runs that end early ----


def test_a_loss_that_is_no_number_ends_the_run_before_anything_is_saved(tiny: Tiny) -> None:
    changes = [("running_loss += loss.item()", "running_loss += math.inf * loss.item()")]
    fails(tiny.train(changes=changes), "inf", "diverged", "--lr")
    assert not list(tiny.folder.glob("*.pth"))


@pytest.mark.slow
def test_a_terminated_run_leaves_its_log_and_what_was_saved(tiny: Tiny, tmp_path: Path) -> None:
    """A log, which is no terminal, gets every line at once."""
    log = tmp_path / "log.txt"
    command = [sys.executable, tiny.folder / "train.py", "--data-path", tiny.data]
    command += ["--epochs", "1000", "--workers", "0"]
    environment = os.environ.copy()
    environment.pop("PYTHONUNBUFFERED", None)
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.PIPE, env=environment)
        while not tiny.last_path.exists() and process.poll() is None:
            time.sleep(0.01)
        # it is printed before that file is written
        assert "[epoch 1]" in log.read_text(encoding="utf-8")
        process.terminate()
        _, err = process.communicate()
    assert err == b""
    assert process.returncode != 0


@pytest.mark.parametrize(
    ("epoch", "words"), [(0, "before the first epoch was completed"), (1, "after epoch 1")]
)
def test_ctrl_c_says_where_resume_goes_on(epoch: int, words: str, tiny: Tiny) -> None:
    works(tiny.train("--epochs", 1))  # an earlier run, whose file is not meant
    step = "            optimizer.zero_grad()"
    stop = f"            if epoch == {epoch}:\n                raise KeyboardInterrupt\n{step}"
    result = tiny.train(changes=[(step, stop)])
    assert result.status == 130
    assert words in result.err
    assert result.err.count("\n") == 1
    if epoch == 1:
        assert "--resume" in result.err
        works(tiny.train("--resume", changes=[(stop, step)]))


@pytest.mark.parametrize("line", ["train_dataset = ", "loss_function = ", "for epoch in "])
def test_ctrl_c_in_a_resumed_run(line: str, tiny: Tiny) -> None:
    """Before its first step: the epochs of the run that it goes on with are not lost."""
    works(tiny.train())
    stop = f"    raise KeyboardInterrupt\n    {line}"
    result = tiny.train("--resume", "--epochs", 3, changes=[(f"    {line}", stop)])
    assert result.status == 130
    assert result.err.startswith("stopped")
    assert "before the first epoch" not in result.err
    assert result.err.count("\n") == 1


# ---- files of an earlier run ----


def test_an_earlier_runs_files_are_kept_once(tiny: Tiny, tmp_path: Path) -> None:
    out = tmp_path / "out"
    runs = []
    for seed in (1, 2, 3):
        result = works(tiny.train("--output-dir", out, "--seed", seed))
        assert len(result.lines("an earlier run's files are kept")) == (seed > 1)
        runs.append(files(out))
    _, second, third = runs
    assert third.keys() == second.keys()
    assert len(third) == 11
    for end in (".pth", "_last.pth", "_results.png", "_mistakes.png", "_confusion.png"):
        name, previous = f"AlexNet{end}", f"AlexNet{end.replace('.', '_previous.')}"
        assert third[previous] == second[name] != third[name]
    works(tiny.predict("--output-dir", out, "--weights", out / "AlexNet_previous.pth"))


def test_a_kept_copy_keeps_the_names_of_its_classes(tiny: Tiny, tmp_path: Path) -> None:
    """When a later run has other classes, and one more class."""
    photos, tiny.data = tiny.data, draw_data_set(tmp_path / "cats", CATS)
    works(tiny.train())
    cats = tiny.folder / "AlexNet_cats.pth"
    shutil.copy2(tiny.folder / "AlexNet.pth", cats)
    tiny.data = draw_data_set(tmp_path / "dogs", DOGS)
    works(tiny.train())
    works(tiny.train())  # now the dogs' files are the previous ones
    tiny.data = photos
    assert names_for(tiny, cats) == set(CATS)
    assert names_for(tiny, tiny.folder / "AlexNet.pth") == set(DOGS)
    assert names_for(tiny, tiny.folder / "AlexNet_previous.pth") == set(DOGS)


def test_the_names_that_another_nets_weights_need_are_kept(
    helpers: ModuleType, tmp_path: Path
) -> None:
    names = tmp_path / "class_indices.json"
    vgg11, vgg16 = tmp_path / "vgg11Net.pth", tmp_path / "vgg16Net.pth"
    # as another program may have written them
    text = json.dumps({"1": "rote Rose", "0": "Gänseblümchen"}, indent=1).replace("\n", "\r\n")
    names.write_text(f"\ufeff{text}", encoding="utf-8", newline="")
    (tmp_path / "photos.tar").write_bytes(b"photos")
    for name in ("vgg11Net.pth", "my-pre.pth", "resnet34-pre.pth"):
        torch.save({"file": name}, tmp_path / name)
    helpers.run(lambda: helpers.begin_run(NEW_RUN, vgg16, {0: "Gänseblümchen", 1: "rote Rose"}))
    assert not list(tmp_path.glob("class_indices_*"))  # they are the same
    helpers.run(lambda: helpers.begin_run(NEW_RUN, vgg16, {0: "cat", 1: "dog"}))
    names.write_text('{"0": "cat", "1": "dog"}', encoding="utf-8")
    assert helpers.read_classes(vgg11) == {"0": "Gänseblümchen", "1": "rote Rose"}
    own = json.loads(next(tmp_path.glob("class_indices_vgg11Net.pth_*.json")).read_text("utf-8"))
    assert own == {"0": "Gänseblümchen", "1": "rote Rose"}
    kept = sorted(path.name.rpartition("_")[0] for path in tmp_path.glob("class_indices_*"))
    assert kept == ["class_indices_my-pre.pth", "class_indices_vgg11Net.pth"]  # none of ImageNet's


def test_names_follow_the_weights_and_not_their_file_names_or_times(
    tiny: Tiny, tmp_path: Path
) -> None:
    """A copy gets other weights under its name; one is renamed; the folder is copied, later."""
    photos, tiny.data = tiny.data, draw_data_set(tmp_path / "cats", CATS)
    works(tiny.train())
    copy = tiny.folder / "AlexNet_cats.pth"
    shutil.copy2(tiny.folder / "AlexNet.pth", copy)
    tiny.data = draw_data_set(tmp_path / "dogs", DOGS)
    works(tiny.train())
    previous, mine = tiny.folder / "AlexNet_previous.pth", tiny.folder / "mine.pth"
    previous.rename(mine)
    works(tiny.train("--seed", 1))
    tiny.data = photos
    for path in tiny.folder.glob("class_indices_*"):
        os.utime(path, ns=(2**60, 2**60))
    for path, names in ((copy, CATS), (mine, CATS), (previous, DOGS)):
        assert names_for(tiny, path) == set(names), path
    shutil.copy(tiny.folder / "AlexNet.pth", copy)  # the dogs' net takes that name
    assert names_for(tiny, copy) == set(DOGS)


def test_equal_weights_with_two_names_are_refused(tiny: Tiny, tmp_path: Path) -> None:
    """The same photos and seed, and only the names put right: nobody can tell it from a copy."""
    photos = tiny.data
    seen = []
    for names in (CATS, DOGS[:2]):
        tiny.data = draw_data_set(tmp_path / names[0], names)
        works(tiny.train())
        seen.append(torch.load(tiny.folder / "AlexNet.pth", weights_only=True))
    assert same(seen[0], seen[1])
    tiny.data = photos
    previous = tiny.folder / "AlexNet_previous.pth"
    assert names_for(tiny, previous) == set(CATS)
    kept = next(tiny.folder.glob("class_indices_AlexNet_previous.pth_*.json"))
    result = tiny.predict()
    fails(result, "AlexNet_previous.pth", kept.name, "class_indices.json", "copy the one")
    # neither does it stop the next run, nor does what it says fail to help
    tiny.data = draw_data_set(tmp_path / "again", ("x", "y"))
    shutil.copytree(tiny.folder, tmp_path / "folder")
    works(tiny.train("--output-dir", tmp_path / "folder"))
    tiny.data = photos
    own = kept.name.replace("AlexNet_previous", "AlexNet")
    assert own in result.err
    shutil.copy(tiny.folder / "class_indices.json", tiny.folder / own)
    assert names_for(tiny, tiny.folder / "AlexNet.pth") == set(DOGS[:2])
    assert names_for(tiny, previous) == set(CATS)


def test_a_copy_of_the_previous_weights(tiny: Tiny, tmp_path: Path) -> None:
    """It does not get the names of the last run, which has as many classes."""
    photos = tiny.data
    for seed, names in enumerate((CATS, DOGS[:2])):
        tiny.data = draw_data_set(tmp_path / names[0], names)
        works(tiny.train("--seed", seed))
    tiny.data = photos
    previous = tiny.folder / "AlexNet_previous.pth"
    for name in ("AlexNet.pth", "mine.pth"):
        shutil.copy(previous, tiny.folder / name)
        fails(tiny.predict("--weights", tiny.folder / name), name, "AlexNet_previous.pth")
    common = tiny.folder / "class_indices.json"
    common.rename(tmp_path / "gone.json")
    assert names_for(tiny, tiny.folder / "mine.pth") == set(CATS)  # there is no other
    shutil.copy(tmp_path / "gone.json", common)
    previous.unlink()
    assert names_for(tiny, tiny.folder / "mine.pth") == set(CATS)


def test_names_of_copies_of_any_ending_and_of_links(tiny: Tiny, tmp_path: Path) -> None:
    photos, tiny.data = tiny.data, draw_data_set(tmp_path / "cats", CATS)
    works(tiny.train())
    copies = [tiny.folder / name for name in ("AlexNet.pth.bak", "colors.weights")]
    for copy in copies:
        shutil.copy(tiny.folder / "AlexNet.pth", copy)
    tiny.data = draw_data_set(tmp_path / "dogs", DOGS[:2])
    works(tiny.train("--seed", 1))
    works(tiny.train("--seed", 2, "--output-dir", tmp_path / "other"))
    if sys.platform != "win32":
        copies.append(tmp_path / "other" / "link.pth")
        copies[-1].symlink_to(copies[0])
    tiny.data = photos
    for copy in copies:
        assert names_for(tiny, copy) == set(CATS), copy


def test_a_class_file_that_is_not_utf_8_stops_no_run(tiny: Tiny, tmp_path: Path) -> None:
    for seed, names in enumerate((CATS, DOGS)):
        tiny.data = draw_data_set(tmp_path / names[0], names)
        works(tiny.train("--seed", seed))
    kept = next(tiny.folder.glob("class_indices_AlexNet_previous.pth_*.json"))
    kept.write_bytes(b'{"0": "bl\xe4u", "1": "red"}')
    (tiny.folder / "AlexNet_previous.pth").rename(tiny.folder / "mine.pth")
    works(tiny.train("--seed", 2))
    fails(tiny.predict("--weights", tiny.folder / "mine.pth"), "class_indices_mine.pth_", "UTF-8")


def test_classes_that_nobody_knows_any_more(tiny: Tiny, tmp_path: Path) -> None:
    """class_indices.json was deleted: no weights that lie there get the next run's names."""
    tiny.data = draw_data_set(tmp_path / "cats", CATS)
    works(tiny.train())
    shutil.copy(tiny.folder / "AlexNet.pth", tiny.folder / "mine.pth")
    works(tiny.train("--seed", 1))
    (tiny.folder / "class_indices.json").unlink()
    tiny.data = draw_data_set(tmp_path / "dogs", DOGS[:2])
    works(tiny.train("--seed", 2))
    fails(tiny.predict("--weights", tiny.folder / "mine.pth"), "class_indices_mine.pth_")


def test_weights_that_go_away_during_the_run(tiny: Tiny) -> None:
    line = '    print("Finished Training")\n'
    result = tiny.train(changes=[(line, f"    save_path.unlink()\n{line}")])
    fails(result, "AlexNet.pth", "No such file")


@pytest.mark.parametrize("moved", [".pth", "_last.pth", "_results.png"])
def test_generations_are_not_mixed(moved: str, tiny: Tiny) -> None:
    """Whatever of a run is moved away, the next run's previous files are of that run alone."""
    for seed in (1, 2):
        works(tiny.train("--seed", seed))
    (tiny.folder / f"AlexNet{moved}").rename(tiny.folder / "moved")
    second = files(tiny.folder)
    works(tiny.train("--seed", 3))
    third = files(tiny.folder)
    for end in (".pth", "_last.pth", "_results.png", "_mistakes.png", "_confusion.png"):
        previous = f"AlexNet{end.replace('.', '_previous.')}"
        assert third.get(previous) == second.get(f"AlexNet{end}"), previous


def test_old_names_meet_no_new_weights(tiny: Tiny, tmp_path: Path) -> None:
    """AlexNet_previous.pth, whose names are lost, does not get those of one before it."""
    photos, cats = tiny.data, draw_data_set(tmp_path / "cats", CATS)
    tiny.data = cats
    works(tiny.train())
    tiny.data = draw_data_set(tmp_path / "dogs", DOGS[:2])
    works(tiny.train("--seed", 1))
    (tiny.folder / "class_indices.json").unlink()
    tiny.data = cats
    works(tiny.train())
    tiny.data = photos
    result = tiny.predict("--weights", tiny.folder / "AlexNet_previous.pth")  # of dogs
    assert "siamese" not in result.out


class Runs:
    """What train.py does with its files, without training; each file says whose it is."""

    def __init__(self, helpers: ModuleType, folder: Path):
        self.helpers = helpers
        self.folder = folder
        self.save_path = folder / "AlexNet.pth"
        self.last_path = folder / "AlexNet_last.pth"

    def run(self, name: str) -> None:
        """A run whose only class is called like the run."""

        def main() -> None:
            self.helpers.begin_run(NEW_RUN, self.save_path, {0: name})
            self.helpers.save(json.dumps({0: name}), self.folder / "class_indices.json")
            self.helpers.save({"weights of": name}, self.save_path)
            self.helpers.save({"state of": name}, self.last_path)

        self.helpers.run(main)

    def owner(self, path: Path) -> str:
        (name,) = torch.load(path, weights_only=True).values()
        return name

    def check(self) -> None:
        """All weights have their own classes, and a run to resume has its best weights."""
        for weights in self.folder.glob("AlexNet*.pth"):
            if "_last" not in weights.name:
                assert self.helpers.read_classes(weights) == {"0": self.owner(weights)}
        if self.last_path.exists():
            assert self.owner(self.last_path) == self.owner(self.save_path)


def test_weights_keep_their_names_whenever_a_run_stops(helpers: ModuleType, tmp_path: Path) -> None:
    """Killed before each of the calls that change a file, in a folder with two runs' files."""
    operations = [(Path, "replace"), (Path, "unlink"), (helpers.shutil, "copyfile")]
    stopped = True
    at = 0
    while stopped:
        at += 1
        runs = Runs(helpers, tmp_path / f"stopped at {at}")
        runs.run("first")
        runs.run("second")
        stopped = is_stopped(at, Killed, operations, runs.run, "third")
        runs.check()
        runs.run("fourth")
        runs.check()
    assert at >= 9


def test_a_run_without_a_completed_epoch_does_not_mix_generations(
    helpers: ModuleType, tmp_path: Path, monkeypatch: Patch
) -> None:
    """Its weights were saved, and then the disk was full for AlexNet_last.pth."""
    runs = Runs(helpers, tmp_path)
    runs.run("first")
    with monkeypatch.context() as patch:
        patch.setattr(runs, "last_path", tmp_path / "no folder.txt" / "AlexNet_last.pth")
        (tmp_path / "no folder.txt").write_text("", encoding="utf-8")
        with pytest.raises(SystemExit, match="cannot write"):
            runs.run("second")
    runs.run("third")
    runs.check()
    last, best = tmp_path / "AlexNet_last_previous.pth", tmp_path / "AlexNet_previous.pth"
    if last.exists():
        assert runs.owner(last) == runs.owner(best)


# ---- two runs at once ----


def test_a_second_run_in_the_same_folder_is_refused(tiny: Tiny) -> None:
    """Until the first has ended; it may have been killed."""
    script = tiny.folder / "train.py"
    process = start(script, "--data-path", tiny.data, "--epochs", 100_000, "--workers", 0)
    try:
        wait_for(tiny.last_path, process)
        for more in ([], ["--resume"]):
            result = tiny.train(*more)
            fails(result, "another run", tiny.folder, "--output-dir")
        assert not (tiny.folder / "AlexNet_previous.pth").exists()
        works(tiny.predict())  # it only reads
    finally:
        process.kill()
        process.join()
    epochs = len(tiny.history())
    result = works(tiny.train("--resume", "--epochs", epochs + 1))
    assert len(result.lines(f"[epoch {epochs + 1}]")) == 1


def test_a_process_may_train_again_in_the_same_folder(tiny: Tiny) -> None:
    """As in a notebook, whose process goes on after a run, and after one that has failed."""
    works(tiny.train())
    fails(tiny.train("--resume", "--epochs", 3, "--data-path", tiny.folder), "train")
    works(tiny.train("--resume", "--epochs", 3))
    works(tiny.train())


def test_a_drive_without_locks_is_no_obstacle(
    helpers: ModuleType, tmp_path: Path, monkeypatch: Patch
) -> None:
    if sys.platform == "win32":
        place, name = helpers.msvcrt, "locking"
    else:
        place, name = helpers.fcntl, "lockf"

    def fail(*args: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(place, name, fail)
    helpers.run(lambda: helpers.claim_folder(tmp_path))


def test_names_go_with_every_kind_of_weights_file_and_with_a_refreshed_copy(
    helpers: ModuleType, tmp_path: Path
) -> None:
    def run(name: str) -> None:
        helpers.keep_class_names(tmp_path / "AlexNet.pth", {0: name, 1: "x"})
        helpers.keep_previous(tmp_path / "AlexNet.pth")
        names = json.dumps({"0": name, "1": "x"})
        helpers.save(names, tmp_path / "class_indices.json")
        helpers.save({"weights of": name}, tmp_path / "AlexNet.pth")

    copies = [tmp_path / name for name in ("best.pth", "best.pt", "best.bin", "best.pth.tar")]
    for name in ("cat", "car"):
        run(name)
        for copy in copies:
            shutil.copyfile(tmp_path / "AlexNet.pth", copy)
    run("cat")
    for copy in copies:
        assert helpers.read_classes(copy)["0"] == "car", copy.name


def test_names_are_kept_whole_or_not_at_all(
    helpers: ModuleType, tmp_path: Path, monkeypatch: Patch
) -> None:
    """A disk that is full while they are copied leaves no empty file that would pass for names."""
    (tmp_path / "class_indices.json").write_text('{"0": "cat", "1": "x"}', encoding="utf-8")
    (tmp_path / "kept.pth").touch()
    with monkeypatch.context() as patch, pytest.raises(helpers.UserError, match="kept"):
        patch.setattr(Path, "write_text", Mock(side_effect=OSError(28, "No space left")))
        helpers.keep_class_names(tmp_path / "AlexNet.pth", {0: "car", 1: "x"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["class_indices.json", "kept.pth"]


def test_resuming_without_the_names_is_refused(tiny: Tiny) -> None:
    works(tiny.train())
    (tiny.folder / "class_indices.json").unlink()
    fails(tiny.train("--resume", "--epochs", 3), "class_indices.json")
