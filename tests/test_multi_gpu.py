"""train_multi_gpu.py under torchrun: two processes on the CPU, with gloo, of one agent or two."""

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

needs_torchrun = pytest.mark.skipif(
    sys.platform == "win32", reason="torch for Windows has no libuv, which torchrun asks for"
)
# Runs the script's main(), and notes every image that a process loads, and sums of its net's values
# at each validation. The process with KILL_RANK kills itself in its second epoch, the first time
# that it is started.
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
train_multi_gpu.draw_validation = lambda *args: None
helpers.run(train_multi_gpu.main)
"""


class Lesson:
    """A copy of Test5, and a data set whose sizes no number of processes divides."""

    def __init__(self, place: Path):
        self.folder = copy_lesson("Test5_resnet", place)
        self.notes = place / "notes"  # the probe's
        self.notes.mkdir()
        self.weights = self.folder / "resNet18.pth"  # an earlier run's; training goes on from it
        torch.save(resnet18().state_dict(), self.weights)
        (self.folder / "probe.py").write_text(PROBE, encoding="utf-8")
        self.data = draw_data_set(place / "data", ("blue", "green", "red"), train=3, val=1)

    def start(self, agent: list[str], *options: object, **extra: str) -> subprocess.Popen:
        """Start the probe under torchrun."""
        command = [sys.executable, "-m", "torch.distributed.run", "--log-dir", self.notes, *agent]
        command += [self.folder / "probe.py", "--data-path", self.data, "--device", "cpu"]
        command += ["--model-name", "resnet18", "--batch-size", 2, "--workers", 0, *options]
        if "--resume" not in options:
            command += ["--weights", self.weights]
        return subprocess.Popen(
            [str(part) for part in command],
            env={**os.environ, "PROBE": str(self.notes), "OMP_NUM_THREADS": "1", **extra},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    def last(self) -> dict:
        return torch.load(self.folder / "resNet18_last.pth", weights_only=True)

    def batch(self, part: str) -> tuple[torch.Tensor, torch.Tensor]:
        """All images of a part as train.py's "val" transforms them, and their labels."""
        images = ImageFolder(self.data / part, plain.transform("Test5_resnet"))
        return torch.stack([image for image, _ in images]), torch.tensor(images.targets)

    def validate(self, state: dict) -> tuple[float, float]:
        """The loss and the accuracy that one process measures."""
        net = resnet18(num_classes=3).eval()
        net.load_state_dict(state)
        images, labels = self.batch("val")
        with torch.no_grad():
            logits = net(images)
        loss = torch.nn.functional.cross_entropy(logits, labels).item()
        return loss, torch.eq(logits.argmax(dim=1), labels).float().mean().item()

    def noted(self, what: str) -> list[list[str]]:
        """The lines that each process has noted."""
        lines = []
        for rank in (0, 1):
            path = self.notes / f"{what}{rank}.txt"
            lines.append(path.read_text(encoding="utf-8").splitlines())
        return lines


def agents_of(number: int) -> list[list[str]]:
    """The options of torchrun for two processes: on one machine, or as on two machines."""
    if number == 1:
        return [["--standalone", "--nproc_per_node=2", "--max-restarts=2"]]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--nnodes=2", "--nproc_per_node=1", "--max-restarts=2", "--local-addr=127.0.0.1"]
    options += ["--rdzv_backend=c10d", "--rdzv_id=test", f"--rdzv_endpoint=127.0.0.1:{port}"]
    return [options, options]


@needs_torchrun
@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 2])
def test_processes_share_the_work_and_a_killed_one_comes_back(number: int, tmp_path: Path) -> None:
    lesson = Lesson(tmp_path)
    extra = {"KILL_RANK": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    started = [lesson.start(agent, "--epochs", 3, **extra) for agent in agents_of(number)]
    out = ""
    for process in started:
        printed, err = process.communicate()
        works(Result(process.returncode, printed, err))
        out += printed
    # one process prints, and goes on after the epoch that is saved
    assert re.findall(r"^\[epoch (\d)\]", out, re.MULTILINE) == ["1", "2", "3"], out
    assert "Finished Training" in out

    # the nets are equal in every epoch, batch norm's means included
    one, other = lesson.noted("net")
    assert one == other
    assert len(one) == 3
    history = lesson.last()["history"]
    loss, accuracy = lesson.validate(lesson.last()["state"]["net"])
    assert loss == pytest.approx(history[-1]["val_loss"], rel=1e-4)
    assert accuracy == pytest.approx(history[-1]["val_accuracy"])
    best = torch.load(lesson.weights, weights_only=True)
    _, accuracy = lesson.validate(best)
    assert accuracy == pytest.approx(max(row["val_accuracy"] for row in history))

    parts = lesson.noted("seen")
    counts = Counter(parts[0] + parts[1])
    orders = []
    for start, epoch in ((1, 0), (2, 1), (2, 2)):  # killed in the second epoch
        validated = [counts[f"{start} val {epoch} {i}"] for i in range(3)]
        assert validated == [1, 1, 1]  # each image by one process
        key = f"{start} train {epoch} "
        trained = sorted(counts[f"{key}{i}"] for i in range(9))
        assert trained == [1] * 8 + [2]  # equal shares: one comes twice
        for part in parts:
            assert sum(line.startswith(key) for line in part) == 5
        orders.append([line for line in parts[0] if line.startswith(key)])
    indices = [[line.split()[3] for line in order] for order in orders]
    assert indices[0] != indices[1] != indices[2]


@needs_torchrun
@pytest.mark.slow
def test_it_resumes_what_train_py_began_with_both_processes_mean_gradient(tmp_path: Path) -> None:
    """A frozen net without augmentation: their step is that of one process with all images."""
    lesson = Lesson(tmp_path)
    lesson.data = draw_data_set(tmp_path / "even", train=2, val=1)
    for name in ("train.py", "train_multi_gpu.py"):
        edit(
            lesson.folder / name,
            ('transform=data_transform["train"]', 'transform=data_transform["val"]'),
            ("optim.Adam", "optim.SGD"),
            (", fused=True", ""),
        )
    options = ["--data-path", lesson.data, "--model-name", "resnet18", "--weights", lesson.weights]
    options += ["--freeze-layers", "--epochs", 1]
    works(run_here(lesson.folder / "train.py", *options))
    before = lesson.last()["state"]["net"]
    agent = ["--standalone", "--nproc_per_node=2"]
    process = lesson.start(agent, "--epochs", 2, "--freeze-layers", "--resume")
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert "[epoch 2]" in out

    net = resnet18(num_classes=2).eval()
    net.load_state_dict(before)
    images, labels = lesson.batch("train")
    torch.nn.functional.cross_entropy(net(images), labels).backward()
    expected = 0.0001 * net.fc.weight.grad
    found = before["fc.weight"] - lesson.last()["state"]["net"]["fc.weight"]
    assert torch.allclose(found, expected, atol=0.01 * expected.abs().max().item())


def test_it_says_how_it_is_started(tmp_path: Path) -> None:
    copy = copy_lesson("Test5_resnet", tmp_path)
    fails(run_here(copy / "train_multi_gpu.py"), "torchrun --standalone")


@needs_torchrun
@pytest.mark.slow
def test_a_restart_goes_on_with_nothing_but_its_own_run(tmp_path: Path) -> None:
    """It fails before it begins, in the folder of an earlier run, and is started again."""
    lesson = Lesson(tmp_path)
    options = ["--data-path", lesson.data, "--model-name", "resnet18", "--epochs", 1]
    works(run_here(lesson.folder / "train.py", *options, "--weights", "none"))
    lesson.weights = tmp_path / "typo.pth"
    agent = ["--standalone", "--nproc_per_node=1", "--max-restarts=1"]
    process = lesson.start(agent, "--epochs", 2)
    out, err = process.communicate(timeout=240)
    assert process.returncode != 0 and "typo.pth" in err
    assert "Finished Training" not in out and len(lesson.last()["history"]) == 1


def test_frozen_layers_need_trained_weights(tmp_path: Path) -> None:
    copy = copy_lesson("Test5_resnet", tmp_path)
    for script in ("train.py", "train_multi_gpu.py"):
        result = run_here(copy / script, "--freeze-layers", "--weights", "none")
        assert result.status == 2 and "--weights is none" in result.err
