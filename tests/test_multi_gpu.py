"""train_multi_gpu.py under torchrun: two processes on the CPU, with gloo, of one agent or of two."""

import os
import re
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from conftest import Result, copy_lesson, draw_data_set, fails, imports_from, run_alone
from torchvision.models import resnet18

# Runs the script's main(), notes every image that a process loads, and saves each process's net at the end.
# The process with KILL_RANK kills itself in its second epoch, the first time that it is started.
PROBE = """
import os, signal, time, torch, helpers, train_multi_gpu
from torch.utils.data import DistributedSampler
from torch.nn.parallel import DistributedDataParallel
rank, folder, epochs = os.environ["RANK"], os.environ["PROBE"], []
with open(f"{folder}/starts{rank}", "a") as file:
    file.write("x")
first = os.path.getsize(f"{folder}/starts{rank}") == 1
get, set_epoch, init = helpers.ImageFolder.__getitem__, DistributedSampler.set_epoch, DistributedDataParallel.__init__

def noted(self, index):
    if first and len(epochs) == 2 and os.environ.get("KILL_RANK") == rank:
        while not (helpers.HERE / "resNet18_last.pth").exists():
            time.sleep(0.1)  # the other process saves the first epoch
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
    with open(f"{folder}/seen{rank}.txt", "a") as file:
        print(self.root.name, epochs[-1], index, file=file)
    return get(self, index)

def main():
    nets = []
    helpers.ImageFolder.__getitem__ = noted
    DistributedSampler.set_epoch = lambda self, epoch: (epochs.append(epoch), set_epoch(self, epoch))
    DistributedDataParallel.__init__ = lambda self, net: (nets.append(net), init(self, net))[1]
    train_multi_gpu.draw_mistakes = lambda *args: None
    train_multi_gpu.main()
    torch.save(nets[0].state_dict(), f"{folder}/rank{rank}.pth")

helpers.run(main)
"""


class Lesson:
    """A copy of Test5, a data set whose sizes no number of processes divides, and a folder for the probe's notes."""

    def __init__(self, place: Path):
        self.folder = copy_lesson("Test5_resnet", place)
        self.notes = place / "notes"
        self.notes.mkdir()
        (self.folder / "probe.py").write_text(PROBE, encoding="utf-8")
        self.data = draw_data_set(place / "data", classes=("blue", "green", "red"), train=3, val=1)  # 9 + 3 images

    def start(self, agent: list[str], *options: object, **extra: str) -> subprocess.Popen:
        fixed = ["--data-path", self.data, "--model-name", "resnet18", "--batch-size", 2, "--workers", 0]
        end = [self.folder / "probe.py", *fixed, "--weights", "none", "--device", "cpu", *options]
        command = [sys.executable, "-m", "torch.distributed.run", "--log-dir", str(self.notes), *agent, *map(str, end)]
        environment = {**os.environ, "PROBE": str(self.notes), "OMP_NUM_THREADS": "1", **extra}
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True, encoding="utf-8")

    def run(self, *options: object, **extra: str) -> Result:
        process = self.start(["--standalone", "--nproc_per_node=2"], *options, **extra)
        out, err = process.communicate(timeout=240)
        return Result(process.returncode, out, err)

    def check(self) -> None:
        """Equal nets at the end, which are those in the file; the saved accuracy is what one process measures."""
        other = torch.load(self.notes / "rank1.pth", weights_only=True)  # that of rank 0 has loaded the best weights
        state = torch.load(self.folder / "resNet18_last.pth", weights_only=True)
        assert all(torch.equal(value, other[name]) for name, value in state["net"].items())
        assert self.accuracy(state["net"]) == pytest.approx(state["history"][-1]["val_accuracy"])
        best = torch.load(self.folder / "resNet18.pth", weights_only=True)
        assert self.accuracy(best) == pytest.approx(max(row["val_accuracy"] for row in state["history"]))

    def accuracy(self, state: dict) -> float:
        with imports_from(self.folder):
            from helpers import ImageFolder
            from train import data_transform
        net = resnet18(num_classes=3).eval()
        net.load_state_dict(state)
        images = ImageFolder(self.data / "val", data_transform["val"])
        with torch.no_grad():
            return sum(int(net(image[None]).argmax()) == label for image, label in images) / len(images)


@pytest.fixture
def lesson(tmp_path: Path) -> Lesson:
    return Lesson(tmp_path)


def test_two_processes_share_the_work_and_resume(lesson: Lesson) -> None:
    result = lesson.run("--epochs", 1)
    assert result.status == 0, result.err
    result = lesson.run("--epochs", 3, "--resume")
    assert result.status == 0, result.err
    assert re.findall(r"^\[epoch (\d)\]", result.out, re.MULTILINE) == ["2", "3"]  # one process prints
    assert "Finished Training" in result.out
    lesson.check()
    seen = [(lesson.notes / f"seen{rank}.txt").read_text(encoding="utf-8").splitlines() for rank in (0, 1)]
    counts, orders = Counter(seen[0] + seen[1]), []
    for epoch in range(3):
        assert [counts[f"val {epoch} {i}"] for i in range(3)] == [1, 1, 1]  # each image by one process
        assert sorted(counts[f"train {epoch} {i}"] for i in range(9)) == [1] * 8 + [2]  # equal shares: one is repeated
        assert all(sum(line.startswith(f"train {epoch}") for line in part) == 5 for part in seen)
        orders.append([line.split()[2] for line in seen[0] if line.startswith(f"train {epoch}")])
    assert orders[0] != orders[1] != orders[2]


def test_the_gradient_is_the_mean_over_both_processes(lesson: Lesson, tmp_path: Path) -> None:
    """A frozen net without augmentation: both processes' step is that of one process with all images."""
    script = lesson.folder / "train_multi_gpu.py"
    text = script.read_text(encoding="utf-8").replace('data_transform["train"]', 'data_transform["val"]')
    script.write_text(text.replace("optim.Adam", "optim.SGD").replace(", fused=True", ""), encoding="utf-8")
    lesson.data = draw_data_set(tmp_path / "even", classes=("blue", "red"), train=2, val=1)
    result = lesson.run("--epochs", 1, "--freeze-layers", "--lr", 1)
    assert result.status == 0, result.err
    with imports_from(lesson.folder):
        from helpers import ImageFolder
        from model import models
        from train import data_transform
    torch.manual_seed(0)
    net = models["resnet18"]()
    net.fc = torch.nn.Linear(512, 2)
    images = ImageFolder(lesson.data / "train", data_transform["val"])
    batch = torch.stack([image for image, _ in images])
    torch.nn.functional.cross_entropy(net.eval()(batch), torch.tensor(images.targets)).backward()
    found = torch.load(lesson.folder / "resNet18.pth", weights_only=True)["fc.weight"]
    assert torch.allclose(found, net.fc.weight.detach() - net.fc.weight.grad, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("agents", [1, 2])
def test_a_killed_process_comes_back_and_the_run_finishes(agents: int, lesson: Lesson) -> None:
    extra = {"KILL_RANK": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    if agents == 1:
        commands = [["--standalone", "--nproc_per_node=2"]]
    else:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            endpoint = f"--rdzv_endpoint=127.0.0.1:{s.getsockname()[1]}"
        shared = ["--nnodes=2", "--nproc_per_node=1", "--rdzv_backend=c10d", "--rdzv_id=test", endpoint]
        commands = [[*shared, "--local-addr=127.0.0.1"]] * 2
    started = [lesson.start([*command, "--max-restarts=2"], "--epochs", 3, **extra) for command in commands]
    results = [Result(p.wait(), *p.communicate()) for p in started]
    assert [result.status for result in results] == [0] * agents, results
    out = "".join(result.out for result in results)
    assert re.findall(r"^\[epoch (\d)\]", out, re.MULTILINE) == ["1", "2", "3"], out  # it went on after the first
    lesson.check()


def test_without_torchrun_it_says_how_to_start(tmp_path: Path) -> None:
    fails(run_alone(copy_lesson("Test5_resnet", tmp_path) / "train_multi_gpu.py"), "torchrun")
