"""train_multi_gpu.py under torchrun: two processes on the CPU, with gloo, of one agent or of two."""

import json
import re
import shutil
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from conftest import Result, copy_lesson, draw_data_set, environment, load, load_script, run_alone, run_here

# Runs the script's main(), notes every image that a process loads, and saves each process's net at the end.
# The process with KILL_RANK kills itself in its second epoch, the first time it is started; the others are slow then.
PROBE = """
import os, signal, time, torch, utils, train_multi_gpu
rank, folder = os.environ["RANK"], os.environ["PROBE"]
starts = f"{folder}/starts{rank}"
with open(starts, "a") as file:
    file.write("x")
restarts = os.path.getsize(starts) - 1  # torchrun's own count leaves out what happens on other machines
get = utils.ImageFolder.__getitem__

def noted(self, index):
    part, epoch = os.path.basename(self.root), int(self.epoch)
    if "KILL_RANK" in os.environ and restarts == 0 and epoch == 1:
        if os.environ["KILL_RANK"] == rank:
            os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
        time.sleep(20)  # torchrun ends this process meanwhile
    image = get(self, index)
    with open(f"{folder}/seen{rank}.txt", "a") as file:
        print(restarts, part, epoch, index, image[0].sum().item(), file=file)
    return image

def main():
    utils.ImageFolder.__getitem__ = noted
    net = train_multi_gpu.main()
    torch.save(net.state_dict(), f"{folder}/rank{rank}.pth")

utils.run(main)
"""


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Lesson:
    """A copy of Test5, a data set whose sizes no number of processes divides, and a folder for the probe's notes."""

    def __init__(self, place: Path):
        self.folder = copy_lesson("Test5_resnet", place)
        self.notes = place / "notes"
        self.notes.mkdir()
        (self.folder / "probe.py").write_text(PROBE, encoding="utf-8")
        self.data = draw_data_set(place / "data", classes=("blue", "green", "red"), train=3, val=1)
        # 9 + 3 images: shares of 5 and 4, so that batches of 2 leave the second process nothing in the last step

    def command(self, agent: list[str], *options: object, script: str = "probe.py") -> list[str]:
        fixed = ["--data-path", self.data, "--model-name", "resnet18", "--weights", "none", "--batch-size", 2]
        end = [self.folder / script, *fixed, "--workers", 0, "--epochs", 2, *options]
        logs = ["--log-dir", str(self.notes)]  # torchrun would leave them in the temporary folder
        return [sys.executable, "-m", "torch.distributed.run", *logs, *agent, *map(str, end)]

    def environment(self, **extra: str) -> dict[str, str]:
        return environment(PROBE=str(self.notes), OMP_NUM_THREADS="1", **extra)

    def run(self, agent: list[str], *options: object, script: str = "probe.py", **extra: str) -> Result:
        command = self.command(agent, *options, script=script)
        done = subprocess.run(command, env=self.environment(**extra), capture_output=True, text=True, timeout=240)
        return Result(done.returncode, done.stdout, done.stderr)

    def check(self, epochs: int) -> None:
        """Equal nets; each training image once an epoch, each validation image once; the accuracy is the true one."""
        seen = [self.seen(rank) for rank in (0, 1)]
        assert {epoch for _, epoch, _ in seen[0] + seen[1]} == set(range(epochs)) | {0}
        counts = Counter(seen[0] + seen[1])
        assert counts == {
            **{("train", epoch, i): 1 for epoch in range(epochs) for i in range(9)},
            **{("val", 0, i): epochs for i in range(3)},
        }
        assert [len(part) for part in seen] == [epochs * (5 + 2), epochs * (4 + 1)]
        self.check_nets()

    def check_nets(self) -> None:
        """Equal nets at the end, which are those in the file; their accuracy is what one process measures."""
        nets = [torch.load(self.notes / f"rank{rank}.pth", weights_only=True) for rank in (0, 1)]
        assert all(torch.equal(nets[0][name], nets[1][name]) for name in nets[0])
        state = torch.load(self.folder / "resNet18_last.pth", weights_only=True)
        assert all(torch.equal(state["net"][name], nets[0][name]) for name in nets[0])
        assert self.accuracy(state["net"]) == state["history"]["val_accuracy"][-1]
        best = torch.load(self.folder / "resNet18.pth", weights_only=True)
        assert self.accuracy(best) == max(state["history"]["val_accuracy"])

    def seen(self, rank: int, restarts: str = "0") -> list[tuple[str, int, int]]:
        lines = [line.split() for line in (self.notes / f"seen{rank}.txt").read_text(encoding="utf-8").splitlines()]
        return [(part, int(epoch), int(index)) for run, part, epoch, index, _ in lines if run == restarts]

    def accuracy(self, state: dict) -> float:
        """What one process measures with these weights over the validation set, one image at a time."""
        utils, train = load("Test5_resnet", "utils"), load_script(self.folder / "train.py")
        net = load("Test5_resnet", "model").resnet18(num_classes=3).eval()
        net.load_state_dict(state)
        images = utils.ImageFolder(self.data / "val", train["data_transform"]["val"])
        with torch.inference_mode():
            right = sum(int(net(image[None]).argmax()) == label for image, label in images)
        return right / len(images)


@pytest.fixture
def lesson(tmp_path: Path) -> Lesson:
    return Lesson(tmp_path)


def test_two_processes_share_the_work(lesson: Lesson) -> None:
    one_agent = ["--standalone", "--nproc_per_node=2"]
    result = lesson.run(one_agent, "--epochs", 1)
    assert result.status == 0, result.err
    lines = result.out.splitlines()
    assert lines[0] == "using 2 processes, on cpu."
    assert lines[1] == "using 9 images for training, 3 images for validation."
    assert len(re.findall(r"^\[epoch \d\] train_loss: \S+  val_accuracy: \S+$", result.out, re.MULTILINE)) == 1
    assert lines[-1] == "Finished Training"
    lesson.check(epochs=1)
    assert json.loads((lesson.folder / "class_indices.json").read_text(encoding="utf-8"))["1"] == "green"
    assert (lesson.folder / "resNet18_results.png").is_file()

    # an epoch more, resumed: the same as one run of both
    straight = Lesson(lesson.folder.parent / "straight")
    assert straight.run(one_agent, "--epochs", 2).status == 0
    straight.check(epochs=2)
    resumed = lesson.run(one_agent, "--epochs", 2, "--resume")
    assert resumed.status == 0, resumed.err
    a, b = (torch.load(x.folder / "resNet18_last.pth", weights_only=True) for x in (lesson, straight))
    assert a["history"] == b["history"]
    assert all(torch.equal(a["net"][name], b["net"][name]) for name in a["net"])

    refused = lesson.run(one_agent, "--epochs", 3, "--resume", "--lr", 0.5, script="train_multi_gpu.py")
    assert refused.status == 1 and "error: " in refused.err and "resume with the same" in refused.err


def test_a_step_follows_the_mean_over_all_its_images(tmp_path: Path) -> None:
    """With frozen layers nothing depends on how images are grouped: two processes end where one of them ends."""
    lesson = Lesson(tmp_path)
    torch.manual_seed(0)
    torch.save(load("Test5_resnet", "model").resnet18().state_dict(), lesson.folder / "resnet18-pre.pth")
    options = ["--weights", lesson.folder / "resnet18-pre.pth", "--freeze-layers", "--lr", 0.01]
    result = lesson.run(["--standalone", "--nproc_per_node=2"], *options)
    assert result.status == 0, result.err
    both = torch.load(lesson.folder / "resNet18_last.pth", weights_only=True)
    fixed = ["--data-path", lesson.data, "--model-name", "resnet18", "--batch-size", 4, "--epochs", 2, "--workers", 0]
    assert run_here(lesson.folder / "train.py", *fixed, *options).status == 0
    one = torch.load(lesson.folder / "resNet18_last.pth", weights_only=True)
    torch.testing.assert_close(both["history"]["train_loss"], one["history"]["train_loss"], rtol=1e-4, atol=1e-5)
    for name in ("fc.weight", "fc.bias"):
        torch.testing.assert_close(both["net"][name], one["net"][name], rtol=1e-3, atol=1e-5)


def run_two_agents(lesson: Lesson, **extra: str) -> str:
    """What two torchruns with a process each print, as on two machines."""
    agent = ["--nnodes=2", "--nproc_per_node=1", "--rdzv_backend=c10d", "--rdzv_id=test", "--max-restarts=1"]
    agent += [f"--rdzv_endpoint=127.0.0.1:{free_port()}", "--local_addr=127.0.0.1"]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    processes = [subprocess.Popen(lesson.command(agent), env=lesson.environment(**extra), **streams) for _ in range(2)]
    try:
        outputs = [process.communicate(timeout=120)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], outputs
    return "".join(outputs)


@pytest.mark.parametrize("agents", [1, 2])
def test_a_killed_process_comes_back_and_the_run_finishes(agents: int, lesson: Lesson) -> None:
    # an earlier run's files must not be taken for this run's
    for name in ("resNet18.pth", "resNet18_last.pth"):
        (lesson.folder / name).write_bytes(b"of an earlier run")
    if agents == 1:
        result = lesson.run(["--standalone", "--nproc_per_node=2", "--max-restarts=1"], KILL_RANK="1")
        assert result.status == 0, result.err
        output = result.out
    else:
        output = run_two_agents(lesson, KILL_RANK="1")
    assert output.count("Finished Training") == 1
    assert re.findall(r"^\[epoch (\d)\]", output, re.MULTILINE) == ["1", "2"]
    for name in ("resNet18_previous.pth", "resNet18_last_previous.pth"):
        assert (lesson.folder / name).read_bytes() == b"of an earlier run"
    lesson.check_nets()
    before = Counter(item for rank in (0, 1) for item in lesson.seen(rank))
    assert before == {**{("train", 0, i): 1 for i in range(9)}, **{("val", 0, i): 1 for i in range(3)}}
    after = Counter(item for rank in (0, 1) for item in lesson.seen(rank, restarts="1"))
    assert after == {
        **{("train", 1, i): 1 for i in range(9)},
        **{("val", 0, i): 1 for i in range(3)},
    }


def test_files_that_differ_between_the_processes_are_noticed(lesson: Lesson) -> None:
    """As on two machines, of which one has a photo less: each process is given the folder of its rank."""
    shutil.copytree(lesson.data, f"{lesson.data}1")
    (Path(f"{lesson.data}1") / "train" / "red" / "red_0.jpg").unlink()
    text = PROBE.replace("def main():", "def main():\n    import sys\n    sys.argv[2] += rank.replace('0', '')")
    (lesson.folder / "probe.py").write_text(text, encoding="utf-8")
    result = lesson.run(["--standalone", "--nproc_per_node=2"])
    assert result.status == 1 and "the machines have different images" in result.err


def test_an_earlier_run_stays_where_it_is_if_the_weights_do_not_fit(lesson: Lesson) -> None:
    for name in ("resNet18.pth", "resNet18_last.pth", "class_indices.json"):
        (lesson.folder / name).write_bytes(b"of an earlier run")
    result = lesson.run(["--standalone", "--nproc_per_node=1"], "--weights", "absent.pth")
    assert result.status == 1 and "absent.pth" in result.err
    assert not list(lesson.folder.glob("*previous*"))


def test_without_torchrun_it_says_how_to_start(tmp_path: Path) -> None:
    data = draw_data_set(tmp_path / "data")
    result = run_alone(copy_lesson("Test5_resnet", tmp_path) / "train_multi_gpu.py", "--data-path", data)
    assert result.status == 1 and result.err.count("\n") == 1 and "torchrun" in result.err
