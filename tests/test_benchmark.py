"""The page on speed: benchmark.py's race (no speed is tested), and the table of memory."""

import os
import re
from pathlib import Path

import benchmark
import plain
import pytest
import torch
from drawn import draw_cifar10
from running import ROOT, Patch
from torch import nn

SIDES = ["lesson", "train.py"]
# at once where a process can be kept on some cores, and there is one for each side
AT_ONCE = [""]
if hasattr(os, "sched_setaffinity") and len(os.sched_getaffinity(0)) >= len(SIDES):
    AT_ONCE.append("--at-once")


@pytest.mark.parametrize("option", AT_ONCE)
def test_a_race(
    option: str, tmp_path: Path, monkeypatch: Patch, capsys: pytest.CaptureFixture
) -> None:
    """The sides train in processes of their own; a row has the ratios, the lesson's own are 1."""
    sides: list[str] = []
    cores: dict[str, list[list[int]]] = {side: [] for side in SIDES}
    runs: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    measure = benchmark.measure

    def noted(side: str, *arguments: object) -> dict[str, float]:
        run = measure(side, *arguments)
        sides.append(side)
        cores[side].append(arguments[-1])
        runs[side].append(run)
        return run

    root = draw_cifar10(tmp_path, train=360, test=40)
    monkeypatch.setattr(benchmark, "measure", noted)
    monkeypatch.setattr(benchmark, "RACES", {plain.LENET: (360, 1)})
    rounds = 2 if option else 1
    arguments = ["--sides", "train.py", "--rounds", str(rounds), "--cifar-path", str(root)]
    monkeypatch.setattr("sys.argv", ["benchmark.py", *arguments, *option.split()])
    benchmark.main()

    if option:
        first, second = cores["lesson"]
        assert first and second and not set(first) & set(second)
        assert cores["train.py"] == [second, first]
    else:
        assert sides == SIDES
        assert cores == {side: [[]] for side in SIDES}
    for number in range(rounds):
        assert all(0 < runs[side][number]["step"] < runs[side][number]["process"] for side in SIDES)
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith(plain.LENET)]
    lesson, ours = ([float(number) for number in re.findall(r"\d+\.\d\d", row)] for row in rows)
    assert lesson[:6] == [1, 1, 1, 1, 1, 1]
    for what, printed in (("process", ours[:3]), ("step", ours[3:6])):
        ratios = [a[what] / b[what] for a, b in zip(runs["lesson"], runs["train.py"], strict=True)]
        middle = sum(ratios) / rounds
        assert printed == pytest.approx([middle, min(ratios), max(ratios)], abs=0.006)


def test_each_side_has_as_many_cores(monkeypatch: Patch) -> None:
    monkeypatch.setattr(os, "sched_setaffinity", lambda *_: None, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {4, 1, 2, 3, 0}, raising=False)
    assert benchmark.shares_of_cores(2) == [[0, 1], [2, 3]]
    with pytest.raises(SystemExit, match="a core for each of 6 sides"):
        benchmark.shares_of_cores(6)
    monkeypatch.delattr(os, "sched_setaffinity")
    with pytest.raises(SystemExit, match="keep a process on some cores"):
        benchmark.shares_of_cores(2)


# ---- what training takes of a GPU's memory ----


def kept_for_backward(folder: str, net: nn.Module, batch_size: int) -> int:
    """How many bytes the layers keep between forward and backward pass, the input among them."""
    own = {tensor.data_ptr() for tensor in net.state_dict().values()}
    kept = {}  # by their places, so that what two layers keep counts once

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage
        return tensor

    side = 32 if folder == plain.LENET else 224
    labels = torch.zeros(batch_size, dtype=torch.long)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        outputs = net(torch.rand(batch_size, 3, side, side))
        if folder != plain.GOOGLENET:
            outputs = [outputs]
        losses = [nn.functional.cross_entropy(logits, labels) for logits in outputs]
    assert all(loss.requires_grad for loss in losses)
    return sum(storage.nbytes() for storage in kept.values())


def test_the_table_of_memory() -> None:
    """Counted from batches of two and three images: what is kept grows by the image."""
    counted = []
    for folder, (_, batch_size, _) in plain.DEFAULTS.items():
        net = plain.make_net(folder, 10 if folder == plain.LENET else 5)
        # weights, gradients, and Adam's two averages
        constant = 4 * sum(4 * parameter.numel() for parameter in net.parameters())
        two, three = (kept_for_backward(folder, net, number) for number in (2, 3))

        more = constant + two - 2 * (three - two)
        gib = [constant, more + batch_size * (three - two), more + 16 * (three - two)]
        least, most, at_16 = (f"{number / 2**30:.2f}" for number in gib)
        counted.append((str(batch_size), least, most))
        if folder == plain.VGG:
            for_4_gb = f"({at_16} GiB by count)", f"按数目是 {at_16} GiB"
    for page, vgg16 in zip(("README.md", "README.zh-CN.md"), for_4_gb, strict=True):
        text = (ROOT / "tests" / page).read_text(encoding="utf-8")
        row = r"\| Test\d\W+\w+ \| (\d+) \| ([\d.]+) GiB \| ([\d.]+) GiB \|"
        assert re.findall(row, text) == counted
        assert vgg16 in text
