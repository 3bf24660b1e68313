"""The learning rate after --resume: that of a run never stopped, or with the new options."""

import argparse
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from running import same
from torch import nn, optim
from torch.optim import lr_scheduler

Optimizer, Scheduler = optim.Optimizer, lr_scheduler.LRScheduler


def chained(optimizer: Optimizer, epochs: int) -> Scheduler:
    first = lr_scheduler.ConstantLR(optimizer, factor=0.5, total_iters=2)
    return lr_scheduler.ChainedScheduler([first, lr_scheduler.ExponentialLR(optimizer, 0.9)])


def warm_up(optimizer: Optimizer, epochs: int) -> Scheduler:
    first = lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=2)
    then = lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs - 2)
    return lr_scheduler.SequentialLR(optimizer, [first, then], milestones=[2])


def warm_restarts(optimizer: Optimizer, epochs: int) -> Scheduler:
    return lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=3)


def one_cycle(optimizer: Optimizer, epochs: int) -> Scheduler:
    highest = [0.1 * group["lr"] for group in optimizer.param_groups]
    return lr_scheduler.OneCycleLR(optimizer, max_lr=highest, total_steps=epochs)


SCHEDULERS: dict[str, Callable[[Optimizer, int], Scheduler]] = {
    "StepLR": lambda optimizer, epochs: lr_scheduler.StepLR(optimizer, 2, gamma=0.3),
    "MultiStepLR": lambda optimizer, epochs: lr_scheduler.MultiStepLR(optimizer, [1, 3]),
    "LambdaLR": lambda optimizer, epochs: lr_scheduler.LambdaLR(optimizer, lambda n: 0.5**n),
    "Exponential": lambda optimizer, epochs: lr_scheduler.ExponentialLR(optimizer, 0.7),
    "Cosine": lambda optimizer, epochs: lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs),
    "WarmRestarts": warm_restarts,
    "Polynomial": lambda optimizer, epochs: lr_scheduler.PolynomialLR(optimizer, epochs, power=2),
    "CyclicLR": lambda optimizer, epochs: lr_scheduler.CyclicLR(optimizer, 0.01, 0.1, 2),
    "OneCycle": one_cycle,
    "chained": chained,
    "warm-up": warm_up,
}


class Run:
    """A net of one weight, an optimizer of two groups, a scheduler, and a checkpoint's file."""

    def __init__(self, helpers: ModuleType, path: Path, scheduler: str, epochs: int, lr: float):
        self.helpers, self.path, self.epochs = helpers, path, epochs
        self.args = argparse.Namespace(epochs=epochs, lr=lr)
        torch.manual_seed(0)
        self.net = nn.Linear(1, 1)
        groups = [{"params": [self.net.weight]}, {"params": [self.net.bias], "lr": 0.5 * lr}]
        self.optimizer = optim.SGD(groups, lr=lr, momentum=0.9)
        self.scheduler = SCHEDULERS[scheduler](self.optimizer, epochs)
        self.parts = dict(net=self.net, optimizer=self.optimizer, scheduler=self.scheduler)

    def train(self, until: int, resume: bool = False, step_last: bool = False) -> list[list[float]]:
        """Train up to an epoch. Returns the rates that each epoch was trained with."""
        history = []
        if resume:
            history = self.helpers.load_checkpoint(self.path, self.args, **self.parts)["history"]
        for _ in range(len(history), until):
            history.append({"rates": [group["lr"] for group in self.optimizer.param_groups]})
            self.optimizer.zero_grad()
            self.net(torch.ones(1, 1)).square().sum().backward()
            self.optimizer.step()
            if not step_last:
                self.scheduler.step()
            self.helpers.save_checkpoint(self.path, self.args, **self.parts, history=history)
            if step_last:
                self.scheduler.step()
        return [row["rates"] for row in history]


@pytest.mark.parametrize("step_last", [False, True], ids=["step first", "step last"])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_rates_are_those_of_a_run_that_was_not_stopped(
    name: str, step_last: bool, helpers: ModuleType, tmp_path: Path
) -> None:
    """Wherever scheduler.step() stands: above save_checkpoint, or as the last line of the loop."""
    straight = Run(helpers, tmp_path / "straight.pth", name, 6, 0.1)
    expected = straight.train(6, step_last=step_last)
    assert len({tuple(rates) for rates in expected}) > 1
    for stop in (1, 2, 3, 5):
        path = tmp_path / f"{stop}.pth"
        Run(helpers, path, name, 6, 0.1).train(stop, step_last=step_last)
        resumed = Run(helpers, path, name, 6, 0.1)
        assert resumed.train(6, resume=True, step_last=step_last) == expected
        assert same(resumed.net.state_dict(), straight.net.state_dict())
        assert same(
            resumed.optimizer.state_dict()["state"], straight.optimizer.state_dict()["state"]
        )


@pytest.mark.parametrize("name", SCHEDULERS)
def test_another_lr_or_a_longer_run_counts_as_if_so_from_the_start(
    name: str, helpers: ModuleType, tmp_path: Path
) -> None:
    """Neither a rate of 0 after the schedule's end, nor a jump, nor the old base rate."""
    for epochs, lr in ((9, 0.1), (6, 0.02), (9, 0.02)):
        path = tmp_path / f"{epochs} {lr}.pth"
        expected = Run(helpers, tmp_path / "other.pth", name, epochs, lr).train(epochs)
        Run(helpers, path, name, 4, 0.1).train(3)
        rates = Run(helpers, path, name, epochs, lr).train(epochs, resume=True)
        assert rates[3:] == expected[3:]


def test_the_line_on_resuming_shows_every_groups_rate(
    helpers: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    Run(helpers, tmp_path / "last.pth", "LambdaLR", 4, 0.4).train(2)
    Run(helpers, tmp_path / "last.pth", "LambdaLR", 4, 0.8).train(2, resume=True)
    line = f"resumed {tmp_path / 'last.pth'} after epoch 2, lr 0.2 (was 0.1), 0.1 (was 0.05); "
    assert line in capsys.readouterr().out  # 0.8 and 0.4, halved twice


def test_one_of_two_schedulers_that_was_not_handed_over_shows(
    helpers: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """On the same optimizer the rate is another than it was; on another one line refuses."""

    def train(resume: bool, optimizers: int) -> None:
        nets = [nn.Linear(1, 1) for _ in range(optimizers)]
        parts = {f"net{i}": net for i, net in enumerate(nets)}
        for i, net in enumerate(nets):
            parts[f"optimizer{i}"] = optim.SGD(net.parameters(), lr=0.8)
        first, last = parts["optimizer0"], parts[f"optimizer{optimizers - 1}"]
        parts["scheduler"] = lr_scheduler.ExponentialLR(first, 0.5)
        forgotten = lr_scheduler.ExponentialLR(last, 0.25)
        path, args = tmp_path / f"{optimizers}.pth", argparse.Namespace()
        if resume:
            helpers.load_checkpoint(path, args, **parts)
        else:
            for optimizer in {first, last}:
                optimizer.step()
            parts["scheduler"].step()
            forgotten.step()
            helpers.save_checkpoint(path, args, **parts, history=[{}])

    train(False, 1)
    train(True, 1)
    assert "lr 0.4 (was 0.1)" in capsys.readouterr().out
    train(False, 2)
    with pytest.raises(helpers.UserError, match="scheduler=scheduler"):
        train(True, 2)


def test_a_step_that_is_made_in_resuming_is_said(
    helpers: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    Run(helpers, tmp_path / "last.pth", "StepLR", 6, 0.1).train(3, step_last=True)
    Run(helpers, tmp_path / "last.pth", "StepLR", 6, 0.1).train(3, resume=True)
    assert "scheduler had made 2 steps in 3 epochs: one more is made now" in capsys.readouterr().out


def plateau_run(
    helpers: ModuleType, path: Path, until: int, lr: float, resume: bool, hand_over: bool = True
) -> list[list[float]]:
    """Epochs whose loss never falls, with ReduceLROnPlateau: half the rate after every second."""
    net = nn.Linear(1, 1)
    groups = [{"params": [net.weight]}, {"params": [net.bias], "lr": 0.05}]
    optimizer = optim.SGD(groups, lr=lr)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    parts = {"net": net, "optimizer": optimizer}
    if hand_over:
        parts["scheduler"] = scheduler
    args, history = argparse.Namespace(lr=lr), []
    if resume:
        history = helpers.load_checkpoint(path, args, **parts)["history"]
    for _ in range(len(history), until):
        history.append({"rates": [group["lr"] for group in optimizer.param_groups]})
        scheduler.step(1.0)
        helpers.save_checkpoint(path, args, **parts, history=history)
    return [row["rates"] for row in history]


def test_a_plateau_goes_on_with_what_it_had_counted(helpers: ModuleType, tmp_path: Path) -> None:
    expected = plateau_run(helpers, tmp_path / "straight.pth", 9, 0.1, resume=False)
    assert expected[-1] == [0.1 / 8, 0.05 / 8]
    for stop in range(1, 9):
        path = tmp_path / f"{stop}.pth"
        plateau_run(helpers, path, stop, 0.1, resume=False)
        assert plateau_run(helpers, path, 9, 0.1, resume=True) == expected
    plateau_run(helpers, tmp_path / "last.pth", 6, 0.1, resume=False)
    rates = plateau_run(helpers, tmp_path / "last.pth", 7, 0.4, resume=True)
    assert rates[-1] == pytest.approx([0.1, 0.0125])  # halved twice; the second names its own


def test_a_plateau_that_is_not_handed_over_leaves_the_rate_and_says_so(
    helpers: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / "last.pth"
    plateau_run(helpers, path, 6, 0.1, resume=False, hand_over=False)
    rates = plateau_run(helpers, path, 7, 0.1, resume=True, hand_over=False)
    assert rates[-1] == [0.1 / 4, 0.05 / 4]
    assert "scheduler=scheduler" in capsys.readouterr().out


def test_what_fused_optimizers_do_not_check(helpers: ModuleType, tmp_path: Path) -> None:
    """A run of another memory layout goes on as it would have there."""
    images = torch.randn(4, 8, 6, 6, generator=torch.Generator().manual_seed(0))
    layouts = (torch.contiguous_format, torch.channels_last)
    nets = [nn.Conv2d(8, 16, 3).to(memory_format=layout) for layout in layouts]
    optimizers = [optim.Adam(net.parameters(), lr=0.1, fused=True) for net in nets]
    args = argparse.Namespace()

    def steps(number: int) -> None:
        for _ in range(3):
            optimizers[number].zero_grad()
            nets[number](images).square().mean().backward()
            optimizers[number].step()

    steps(0)
    path = tmp_path / "last.pth"
    helpers.save_checkpoint(path, args, net=nets[0], optimizer=optimizers[0], history=[])
    helpers.load_checkpoint(path, args, net=nets[1], optimizer=optimizers[1])
    average = optimizers[1].state[nets[1].weight]["exp_avg"]
    assert average.stride() == nets[1].weight.stride() != nets[0].weight.stride()
    steps(0)
    steps(1)
    assert torch.allclose(nets[0].weight, nets[1].weight, atol=1e-5)


def test_an_optimizer_whose_state_holds_numbers(helpers: ModuleType, tmp_path: Path) -> None:
    class Counting(optim.SGD):
        def step(self) -> None:
            super().step()
            for group in self.param_groups:
                for weight in group["params"]:
                    self.state[weight]["steps"] = self.state[weight].get("steps", 0) + 1

    net, args = nn.Linear(2, 2), argparse.Namespace()
    optimizer = Counting(net.parameters(), lr=0.1)
    net(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    helpers.save_checkpoint(tmp_path / "last.pth", args, net=net, optimizer=optimizer, history=[])
    again = Counting(net.parameters(), lr=0.1)
    helpers.load_checkpoint(tmp_path / "last.pth", args, net=net, optimizer=again)
    assert again.state[net.weight]["steps"] == 1


def test_settings_that_need_what_the_file_does_not_hold(
    helpers: ModuleType, tmp_path: Path
) -> None:
    net, args = nn.Linear(2, 2), argparse.Namespace()
    optimizer = optim.Adam(net.parameters(), lr=0.1)
    net(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    path = tmp_path / "last.pth"
    helpers.save_checkpoint(path, args, net=net, optimizer=optimizer, history=[])
    again = optim.Adam(net.parameters(), lr=0.1, amsgrad=True)
    with pytest.raises(helpers.UserError, match="optimizer"):
        helpers.load_checkpoint(path, args, net=net, optimizer=again)


def test_a_group_that_no_longer_names_a_rate_of_its_own(
    helpers: ModuleType, tmp_path: Path
) -> None:
    net, args = nn.Linear(2, 2), argparse.Namespace()
    optimizer = optim.SGD([{"params": net.parameters(), "lr": 0.01}], lr=0.001)
    path = tmp_path / "last.pth"
    helpers.save_checkpoint(path, args, net=net, optimizer=optimizer, history=[])
    again = optim.SGD(net.parameters(), lr=0.001)
    helpers.load_checkpoint(path, args, net=net, optimizer=again)
    assert again.param_groups[0]["lr"] == 0.001


def test_what_cannot_be_stepped_again_goes_on_as_it_was(
    helpers: ModuleType, tmp_path: Path
) -> None:
    """A warm-up with ReduceLROnPlateau, and a step in each batch beside one in each epoch."""

    def train(path: Path, kind: str, until: int, resume: bool) -> list[float]:
        net, args, history = nn.Linear(1, 1), argparse.Namespace(), []
        optimizer = optim.SGD(net.parameters(), lr=0.1)
        parts = {"net": net, "optimizer": optimizer}
        parts["warm"] = lr_scheduler.LinearLR(optimizer, 0.1, total_iters=4)
        if kind == "plateau":
            parts["then"] = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
        else:
            parts["then"] = lr_scheduler.CosineAnnealingLR(optimizer, T_max=8, eta_min=0.001)
        if resume:
            history = helpers.load_checkpoint(path, args, **parts)["history"]
        for _ in range(len(history), until):
            history.append({"rate": optimizer.param_groups[0]["lr"]})
            for _ in range(1 if kind == "plateau" else 3):
                parts["warm"].step()
            parts["then"].step(*([1.0] if kind == "plateau" else []))
            helpers.save_checkpoint(path, args, **parts, history=history)
        return [row["rate"] for row in history]

    for kind in ("plateau", "each batch"):
        expected = train(tmp_path / "straight.pth", kind, 7, resume=False)
        for stop in (2, 4, 5):
            path = tmp_path / f"{kind} {stop}.pth"
            train(path, kind, stop, resume=False)
            assert train(path, kind, 7, resume=True) == expected


def test_settings_that_would_be_lost_are_refused(helpers: ModuleType, tmp_path: Path) -> None:
    """A step in each batch beside one in each epoch, with T_max=args.epochs, and more epochs."""

    def parts(epochs: int) -> dict:
        net = nn.Linear(1, 1)
        optimizer = optim.SGD(net.parameters(), lr=0.1)
        warm = lr_scheduler.LinearLR(optimizer, 0.1, total_iters=4)
        cosine = lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
        return {"net": net, "optimizer": optimizer, "warm": warm, "cosine": cosine}

    path, args, first = tmp_path / "last.pth", argparse.Namespace(batch_size=4), parts(3)
    for _ in range(6):
        first["optimizer"].step()
        first["warm"].step()
    first["cosine"].step()
    helpers.save_checkpoint(path, args, **first, history=[{}])
    helpers.load_checkpoint(path, args, **parts(3))
    with pytest.raises(helpers.UserError, match=r"T_max, 6 \(was 3\)"):
        helpers.load_checkpoint(path, args, **parts(6))
    with pytest.raises(helpers.UserError, match="give --batch-size 4"):
        helpers.load_checkpoint(path, argparse.Namespace(batch_size=8), **parts(3))


def test_numbers_of_numpy_in_a_schedule(helpers: ModuleType, tmp_path: Path) -> None:
    """torch.load would refuse the file, and the run would be lost."""

    def parts() -> dict:
        net = nn.Linear(1, 1)
        optimizer = optim.SGD(net.parameters(), lr=0.1)
        cosine = lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.5 * (1 + np.cos(epoch / 9)))
        steps = lr_scheduler.MultiStepLR(optimizer, np.arange(1, 3))
        return {"net": net, "optimizer": optimizer, "cosine": cosine, "steps": steps}

    path, args, first = tmp_path / "last.pth", argparse.Namespace(), parts()
    first["optimizer"].step()
    first["cosine"].step()
    first["steps"].step()
    assert isinstance(first["optimizer"].param_groups[0]["lr"], np.generic)
    helpers.save_checkpoint(path, args, **first, history=[{}])
    content = {
        "milestones": np.array([2, 4]),
        "rate": np.float64(0.5),
        "names": ("a", [np.int64(3)]),
    }
    assert helpers.without_numpy(content) == {
        "milestones": [2, 4],
        "rate": 0.5,
        "names": ("a", [3]),
    }
    again = parts()
    helpers.load_checkpoint(path, args, **again)
    rates = [part["optimizer"].param_groups[0]["lr"] for part in (first, again)]
    assert rates[0] == pytest.approx(rates[1], rel=1e-12)


def test_a_rate_that_was_lowered_by_hand_in_the_first_epoch_shows(
    helpers: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path, args, net = tmp_path / "last.pth", argparse.Namespace(), nn.Linear(1, 1)
    optimizer = optim.SGD(net.parameters(), lr=0.25)
    optimizer.param_groups[0]["lr"] *= 0.5
    helpers.save_checkpoint(path, args, net=net, optimizer=optimizer, history=[{}])
    again = optim.SGD(net.parameters(), lr=0.25)
    helpers.load_checkpoint(path, args, net=net, optimizer=again)
    assert "lr 0.25 (was 0.125)" in capsys.readouterr().out
