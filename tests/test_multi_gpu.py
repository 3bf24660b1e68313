"""train_multi_gpu.py under torchrun: two processes on the CPU, with gloo, of one agent or of two."""

import os
import re
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import plain
import pytest
import torch
from drawn import draw_data_set
from running import Result, copy_lesson, edit, fails, run_here, works
from torchvision.datasets import ImageFolder
from torchvision.models import resnet18

# Runs the script's main(), and notes every image that a process loads, and sums of its net's values at each validation.
# The process with KILL_RANK kills itself in its second epoch, the first time that it is started.
PROBE = """
import os, signal, time, torch, helpers, train_multi_gpu
from torch.utils.data import DistributedSampler
rank, folder, epochs = os.environ["RANK"], os.environ["PROBE"], []
with open(f"{folder}/starts{rank}", "a") as file:
    file.write("x")
start = os.path.getsize(f"{folder}/starts{rank}")
get, set_epoch = helpers.ImageFolder.__getitem__, DistributedSampler.set_epoch

def noted(self, index):
    if start == 1 and len(epochs) == 2 and os.environ.get("KILL_RANK") == rank:
        while not (helpers.HERE / "resNet18_last.pth").exists():
            time.sleep(0.1)  # the other process saves the first epoch
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
    with open(f"{folder}/seen{rank}.txt", "a") as file:
        print(start, self.root.name, epochs[-1], index, file=file)
    return get(self, index)

def evaluated(self):
    with open(f"{folder}/net{rank}.txt", "a") as file:
        print(*(value.double().sum().item() for value in self.state_dict().values()), file=file)
    return self.train(False)

helpers.ImageFolder.__getitem__, torch.nn.Module.eval = noted, evaluated
DistributedSampler.set_epoch = lambda self, epoch: (epochs.append(epoch), set_epoch(self, epoch))
train_multi_gpu.draw_mistakes = lambda *args: None
helpers.run(train_multi_gpu.main)
"""


class Lesson:
    """A copy of Test5, a data set whose sizes no number of processes divides, and a folder for the probe's notes."""

    def __init__(self, place: Path):
        self.folder, self.notes = copy_lesson("Test5_resnet", place), place / "notes"
        self.notes.mkdir()
        torch.save(
            resnet18().state_dict(), self.folder / "resNet18.pth"
        )  # an earlier run's; training goes on from it
        (self.folder / "probe.py").write_text(PROBE, encoding="utf-8")
        self.data = draw_data_set(
            place / "data", classes=("blue", "green", "red"), train=3, val=1
        )  # 9 + 3 images

    def start(self, agent: list[str], *options: object, **extra: str) -> subprocess.Popen:
        fixed = [
            "--data-path",
            self.data,
            "--model-name",
            "resnet18",
            "--batch-size",
            2,
            "--workers",
            0,
        ]
        end = [
            self.folder / "probe.py",
            *fixed,
            "--weights",
            self.folder / "resNet18.pth",
            "--device",
            "cpu",
            *options,
        ]
        command = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--log-dir",
            str(self.notes),
            *agent,
            *map(str, end),
        ]
        environment = {**os.environ, "PROBE": str(self.notes), "OMP_NUM_THREADS": "1", **extra}
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, env=environment, stdout=pipe, stderr=pipe, text=True, encoding="utf-8"
        )

    def last(self) -> dict:
        return torch.load(self.folder / "resNet18_last.pth", weights_only=True)

    def batch(self, part: str) -> tuple[torch.Tensor, torch.Tensor]:
        """All images of a part as train.py's "val" transforms them, and their labels."""
        images = ImageFolder(self.data / part, plain.transform("Test5_resnet"))
        return torch.stack([image for image, _ in images]), torch.tensor(images.targets)

    def accuracy(self, state: dict) -> float:
        """What one process measures."""
        net, (images, labels) = resnet18(num_classes=3).eval(), self.batch("val")
        net.load_state_dict(state)
        with torch.no_grad():
            return torch.eq(net(images).argmax(dim=1), labels).float().mean().item()


@pytest.mark.slow
@pytest.mark.parametrize("agents", [1, 2])
def test_processes_share_the_work_and_a_killed_one_comes_back(agents: int, tmp_path: Path) -> None:
    lesson = Lesson(tmp_path)
    extra = {"KILL_RANK": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    commands = [["--standalone", "--nproc_per_node=2"]]
    if agents == 2:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            endpoint = f"--rdzv_endpoint=127.0.0.1:{s.getsockname()[1]}"
        shared = [
            "--nnodes=2",
            "--nproc_per_node=1",
            "--rdzv_backend=c10d",
            "--rdzv_id=test",
            endpoint,
        ]
        commands = [[*shared, "--local-addr=127.0.0.1"]] * 2
    started = [
        lesson.start([*command, "--max-restarts=2"], "--epochs", 3, **extra) for command in commands
    ]
    results = [Result(p.wait(), *p.communicate()) for p in started]
    assert [result.status for result in results] == [0] * agents, results
    out = "".join(result.out for result in results)
    assert re.findall(r"^\[epoch (\d)\]", out, re.MULTILINE) == ["1", "2", "3"], (
        out
    )  # one process prints, and goes on
    assert "Finished Training" in out
    nets = [(lesson.notes / f"net{rank}.txt").read_text(encoding="utf-8") for rank in (0, 1)]
    assert (
        nets[0] == nets[1] and nets[0].count("\n") == 3
    )  # equal in every epoch, batch norm's means included
    accuracies = [row["val_accuracy"] for row in lesson.last()["history"]]
    assert lesson.accuracy(lesson.last()["net"]) == pytest.approx(accuracies[-1])
    best = torch.load(lesson.folder / "resNet18.pth", weights_only=True)
    assert lesson.accuracy(best) == pytest.approx(max(accuracies))
    seen = [
        (lesson.notes / f"seen{rank}.txt").read_text(encoding="utf-8").splitlines()
        for rank in (0, 1)
    ]
    counts, orders = Counter(seen[0] + seen[1]), []
    for start, epoch in ((1, 0), (2, 1), (2, 2)):  # killed in the second epoch
        key = f"{start} train {epoch}"
        assert [counts[f"{start} val {epoch} {i}"] for i in range(3)] == [
            1,
            1,
            1,
        ]  # each image by one process
        assert sorted(counts[f"{key} {i}"] for i in range(9)) == [1] * 8 + [
            2
        ]  # equal shares: one is repeated
        assert all(sum(line.startswith(key) for line in part) == 5 for part in seen)
        orders.append([line.split()[3] for line in seen[0] if line.startswith(key)])
    assert orders[0] != orders[1] != orders[2]


@pytest.mark.slow
def test_it_resumes_what_train_py_began_with_the_mean_gradient_of_both_processes(
    tmp_path: Path,
) -> None:
    """A frozen net without augmentation: both processes' step is that of one process with all images."""
    lesson = Lesson(tmp_path)
    augmentation = ('transform=data_transform["train"]', 'transform=data_transform["val"]')
    for name in ("train.py", "train_multi_gpu.py"):
        edit(lesson.folder / name, augmentation, ("optim.Adam", "optim.SGD"), (", fused=True", ""))
    lesson.data = draw_data_set(lesson.notes / "even", train=2, val=1)
    fixed = [
        "--data-path",
        lesson.data,
        "--model-name",
        "resnet18",
        "--weights",
        lesson.folder / "resNet18.pth",
    ]
    works(run_here(lesson.folder / "train.py", *fixed, "--freeze-layers", "--epochs", 1))
    fails(run_here(lesson.folder / "train_multi_gpu.py"), "torchrun")  # it says how to start
    before = lesson.last()["net"]
    process = lesson.start(
        ["--standalone", "--nproc_per_node=2"], "--epochs", 2, "--freeze-layers", "--resume"
    )
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0 and "[epoch 2]" in out, err
    net = resnet18(num_classes=2).eval()
    net.load_state_dict(before)
    images, labels = lesson.batch("train")
    torch.nn.functional.cross_entropy(net(images), labels).backward()
    found, step = (
        before["fc.weight"] - lesson.last()["net"]["fc.weight"],
        0.0001 * net.fc.weight.grad,
    )
    assert torch.allclose(found, step, atol=0.01 * step.abs().max().item())
