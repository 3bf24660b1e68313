"""The machines that learners have, simulated: the first minute, GPUs, spawned workers, consoles."""

import contextlib
import io
import json
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from unittest.mock import Mock

import matplotlib
import plain
import pytest
import torch
from drawn import draw_data_set
from matplotlib import font_manager, pyplot
from running import Patch, Tiny, call, copy_lesson, fails, load, run_here, works
from tiny import BODY, MODELS, TinyLesson

FLOWER_LESSONS = [folder for folder in plain.DEFAULTS if folder != plain.LENET]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A fresh clone: the lesson folders and data_set side by side, and no photos."""
    for folder in plain.DEFAULTS:
        copy = copy_lesson(folder, tmp_path)
        (copy / "model.py").write_text(BODY + MODELS[folder], encoding="utf-8")
    copy_lesson("data_set", tmp_path)
    return tmp_path


@pytest.mark.parametrize("folder", FLOWER_LESSONS)
def test_the_first_line_names_the_next_command(
    folder: str, clone: Path, monkeypatch: Patch
) -> None:
    """As it must be typed in the folder where the learner is."""
    weights = ["--weights", "none"] if folder == plain.RESNET else []
    for place, split_data, train in (
        (clone / folder, Path("..", "data_set", "split_data.py"), "train.py"),
        (clone, Path("data_set", "split_data.py"), Path(folder, "train.py")),
    ):
        monkeypatch.chdir(place)
        result = run_here(clone / folder / "train.py", *weights)
        fails(result, f"python {split_data} --download", f"python {split_data} --demo")
        fails(run_here(clone / folder / "predict.py"), f"python {train}")
        if folder == plain.RESNET:
            (clone / "x.jpg").touch()
            fails(run_here(clone / folder / "batch_predict.py", clone), f"python {train}")


def test_a_folder_alone_asks_for_photos_in_it(clone: Path, tmp_path: Path) -> None:
    alone = tmp_path / "elsewhere" / "my project"
    shutil.copytree(clone / plain.ALEXNET, alone)
    fails(
        run_here(alone / "train.py"), alone / "data" / "train" / "<class>", alone / "data" / "val"
    )


def test_imagenets_weights_offline(clone: Path, monkeypatch: Patch) -> None:
    data = draw_data_set(clone / "data")
    fetch = Mock(side_effect=OSError("no network"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    result = run_here(clone / plain.RESNET / "train.py", "--data-path", data)
    fails(result, "no network", clone / plain.RESNET / "resnet34-pre.pth", "--weights none")
    assert not (clone / plain.RESNET / "class_indices.json").exists()
    url, path = fetch.call_args.args
    assert (
        url.endswith("resnet34-b627a593.pth")
        and fetch.call_args.kwargs["hash_prefix"] == "b627a593"
    )
    assert path == str(clone / plain.RESNET / "resnet34-pre.pth")


@pytest.mark.parametrize("cuda", [None, "12.6"])
def test_a_card_that_this_torch_cannot_use(
    cuda: str | None, tiny: Tiny, monkeypatch: Patch
) -> None:
    """A fake nvidia-smi on the PATH, and no accelerator."""
    name = "nvidia-smi.exe" if sys.platform == "win32" else "nvidia-smi"
    assert "nvidia-smi" not in works(tiny.train("--epochs", 1)).out
    (tiny.folder / name).write_text("", encoding="utf-8")
    (tiny.folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tiny.folder))
    monkeypatch.setattr(torch.version, "cuda", cuda)
    line = works(tiny.train("--epochs", 1)).lines("nvidia-smi")[0]
    assert ("without CUDA" if cuda is None else "CUDA 12.6") in line
    assert torch.__version__ in line and "https://pytorch.org" in line
    assert "nvidia-smi" not in works(tiny.predict()).out


def test_workers_by_the_cpus_that_the_process_may_use(
    helpers: ModuleType, monkeypatch: Patch
) -> None:
    def workers(cpus: int, processes: int = 1, accelerator: bool = True) -> int:
        monkeypatch.setattr(os, "cpu_count", lambda: 64)  # the host's
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cpus)), raising=False)
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
        monkeypatch.setattr(torch.accelerator, "is_available", lambda: accelerator)
        return helpers.default_workers()

    assert [workers(cpus) for cpus in (1, 2, 4, 32)] == [1, 2, 4, 4]
    assert [workers(8, processes) for processes in (2, 4, 8, 16)] == [4, 2, 1, 0]
    assert workers(32, accelerator=False) == 0
    monkeypatch.delattr(os, "sched_getaffinity")  # as on Windows and macOS
    assert helpers.default_workers() == 0
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")
    assert helpers.default_workers() == 4


class Counted:
    """A data set of random numbers that notes which process reads it."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int, int]:
        return torch.rand(3), index, os.getpid()


def batches(helpers: ModuleType, **options: object) -> list[list]:
    """Two epochs' random numbers and processes."""
    loader = helpers.DataLoader(Counted(), batch_size=4, shuffle=True, **options)
    epochs = []
    for epoch in range(2):
        helpers.manual_seed(epoch)
        found = [(numbers.tolist(), order.tolist(), pids) for numbers, order, pids in loader]
        dropout = torch.rand(1).item()
        epochs.append([[numbers, order] for numbers, order, _ in found] + [dropout])
        epochs.append({int(pid) for _, _, pids in found for pid in pids})
    return epochs


def test_numbers_do_not_depend_on_the_workers_which_live_as_long_as_the_loader(
    helpers: ModuleType,
) -> None:
    first, pids, second, pids_again = batches(helpers, num_workers=0)
    assert first != second and pids == pids_again == {os.getpid()}
    for workers in (1, 2):
        found = batches(helpers, num_workers=workers)
        assert found[0] == first and found[2] == second
        assert found[1] == found[3] != {os.getpid()} and len(found[1]) == workers


@pytest.mark.slow
def test_spawned_workers_train_as_none_do(data_set: Path, tmp_path: Path) -> None:
    """As on Windows and macOS: each worker starts Python anew, and is sent the data set."""
    lesson = TinyLesson(plain.ALEXNET, tmp_path, data_set)
    spawn = "import multiprocessing; multiprocessing.set_start_method('spawn', force=True)"
    lesson.edits.replace(
        'if __name__ == "__main__":\n', f'if __name__ == "__main__":\n    {spawn}\n'
    )
    command = [sys.executable, lesson.folder / "train.py", "--data-path", data_set, "--epochs", "2"]
    command += ["--batch-size", "3", "--device", "cpu", "--workers", "1"]
    subprocess.run(command, check=True, capture_output=True)
    history = lesson.history()
    lesson.out = tmp_path / "none"
    works(lesson.train("--epochs", 2))
    assert history == lesson.history()


def test_a_data_set_is_sent_to_a_worker_in_less_than_a_pipe_holds(
    helpers: ModuleType, tmp_path: Path, monkeypatch: Patch
) -> None:
    monkeypatch.setitem(sys.modules, "helpers", helpers)
    root = draw_data_set(tmp_path / "data", train=60) / "train"
    data_set = helpers.ImageFolder(root)
    ForkingPickler = multiprocessing.reduction.ForkingPickler  # torch sends tensors by handle
    size = len(ForkingPickler.dumps(data_set))
    for number in range(600):
        source = root / "blue" / f"blue_{number % 60}.png"
        shutil.copy(source, root / "blue" / f"a copy with a long name {number}.png")
    larger = helpers.ImageFolder(root)
    content = ForkingPickler.dumps(larger)
    assert len(larger) == 720 and len(content) < size + 100 < 4096  # Windows' pipes hold 4 KiB
    again = multiprocessing.reduction.ForkingPickler.loads(content)
    assert again.samples == larger.samples and again.targets == larger.targets
    assert again.class_to_idx == larger.class_to_idx and len(again) == len(larger)


@pytest.mark.parametrize("fault", ["switch", "show"])
def test_an_editors_backend_that_is_too_old(
    fault: str, tiny: Tiny, monkeypatch: Patch, tmp_path: Path
) -> None:
    works(tiny.train("--epochs", 1))
    switch, error = (
        pyplot.switch_backend,
        AttributeError("module 'backend_interagg' has no attribute"),
    )

    def old(backend: str) -> None:
        if "interagg" in backend:
            if fault == "switch":
                raise error
            backend = "agg"
        switch(backend)

    monkeypatch.setattr(pyplot, "switch_backend", old)
    monkeypatch.setattr(pyplot, "show", Mock(side_effect=error))
    monkeypatch.setenv("MPLBACKEND", "module://backend_interagg")
    result = works(tiny.predict())
    assert "drawn in" in result.out and (tiny.folder / "AlexNet_prediction.png").exists()
    assert ("cannot be shown here" in result.out) == (fault == "show")


def test_the_window_that_is_waited_for_is_announced_and_training_shows_none(
    tiny: Tiny, monkeypatch: Patch
) -> None:
    show = Mock(side_effect=lambda: print("shown"))
    monkeypatch.setattr(pyplot, "show", show)
    works(tiny.train("--epochs", 1))
    pyplot.switch_backend("agg")
    monkeypatch.setattr(pyplot, "switch_backend", Mock())
    canvas = pyplot.figure().canvas
    pyplot.close()
    monkeypatch.setattr(type(canvas), "required_interactive_framework", "tk")
    works(tiny.train("--epochs", 1))
    assert show.call_count == 0  # it never waits for a window
    assert works(tiny.predict()).out.endswith("close the window to go on\nshown\n")
    works(tiny.predict("--save", tiny.folder / "a.png"))
    assert show.call_count == 1


def test_chinese_names_and_letters_that_no_font_has(
    tmp_path: Path, monkeypatch: Patch, capsys: pytest.CaptureFixture
) -> None:
    plots = load(plain.ALEXNET, "plots")
    names = [*font_manager.get_font_names(), "Noto Sans CJK JP", "PingFang HK", "SimHei"]
    monkeypatch.setattr(font_manager, "get_font_names", lambda: names)
    with plots.plain_style():
        families = matplotlib.rcParams["font.family"]
    assert {"Noto Sans CJK JP", "PingFang HK", "SimHei"} < set(families)
    monkeypatch.setattr(font_manager, "get_font_names", lambda: ["DejaVu Sans"])
    with plots.new_figure(tmp_path / "a.png", 2, 2) as figure:
        figure.suptitle("\U0001f33b\U0001f337 tulip")
    assert capsys.readouterr().out.count("2 letters are drawn as boxes") == 1


@pytest.mark.parametrize("encoding", ["cp1252", "cp936", "ascii"])
def test_a_console_without_the_letters(
    encoding: str, tiny: Tiny, helpers: ModuleType, monkeypatch: Patch
) -> None:
    """--help too, with a Chinese path in it."""
    place = shutil.move(tiny.folder, tiny.folder.with_name("花🌷"))
    for options in (["--help"], ["--data-path", tiny.folder / "花🌷"]):
        stdout = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        stderr = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        monkeypatch.setattr(sys, "stdout", stdout)
        monkeypatch.setattr(sys, "stderr", stderr)
        command = ["train.py", *map(str, options)]
        monkeypatch.setattr(sys, "argv", command)

        def main() -> None:
            helpers.train_parser(f"{place}", epochs=1, batch_size=1, lr=1.0).parse_args()
            raise helpers.UserError(f"no folder {place}")

        with pytest.raises(SystemExit) as end:
            helpers.run(main)
        assert end.value.code == 0 or "花" in str(end.value.code)
        stdout.flush()
        assert "--help" not in options or b"epochs" in stdout.buffer.getvalue()


def test_amp_asks_the_device_that_is_named(helpers: ModuleType, monkeypatch: Patch) -> None:
    asked, device = [], []

    @contextlib.contextmanager
    def on(which: torch.device) -> object:
        device.append(str(which))
        yield
        device.pop()

    monkeypatch.setattr(torch.cuda, "device", on)
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation: asked.append(device[-1])
    )
    helpers.has_bfloat16(torch.device("cuda:1"))
    assert asked == ["cuda:1"]
    assert helpers.has_bfloat16(torch.device("meta"))  # another device is asked by computing


def test_a_private_name_of_torch_that_is_gone(tiny: Tiny, monkeypatch: Patch) -> None:
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported", raising=False)
    works(tiny.train("--epochs", 1))
    works(tiny.predict())
    result = tiny.train("--amp")
    assert result.status == 2 and "--amp" in result.err.splitlines()[-1]


def test_a_device_that_cannot_hold_a_number(tiny: Tiny, monkeypatch: Patch) -> None:
    """In use by another program; as on macOS runners; or a torch that was built without it."""
    zeros = torch.zeros
    for error, words in (
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 MiB\nmore"), "programs"),
        (RuntimeError("MPS backend out of memory (MPS allocated: 0 bytes)"), "--device cpu"),
        (AssertionError("Torch not compiled with CUDA enabled"), "pytorch.org"),
        (RuntimeError("CUDA error: invalid device ordinal\nCUDA kernel errors might"), "ordinal"),
    ):

        def failing(*args: object, error: Exception = error, **options: object) -> torch.Tensor:
            if options.get("device") == "cuda:7":
                raise error
            return zeros(*args, **options)

        monkeypatch.setattr(torch, "zeros", failing)
        result = tiny.train("--device", "cuda:7")
        assert result.status == 2 and "kernel errors" not in result.err
        line = result.err.splitlines()[-1]
        assert "--device cuda:7" in line and words in line


def test_several_gpus_on_windows_and_macs(monkeypatch: Patch) -> None:
    module = load(plain.RESNET, "train_multi_gpu")
    with pytest.raises(SystemExit, match="torchrun"):
        module.start_process_group(torch.device("cpu"))
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setattr(torch.distributed, "is_nccl_available", lambda: False)
    with pytest.raises(SystemExit, match="NCCL"):
        module.start_process_group(torch.device("cuda", 0))
    with pytest.raises(SystemExit, match="mps"):
        module.start_process_group(torch.device("mps"))


def test_idle_is_no_terminal(helpers: ModuleType, monkeypatch: Patch) -> None:
    """It says that it is one, and does not go back to the beginning of a line."""
    outputs = {}
    for idle in (False, True):
        monkeypatch.setattr(sys, "stdout", io.StringIO())
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
        if idle:
            monkeypatch.setitem(sys.modules, "idlelib", Mock())
        list(helpers.ProgressBar([1, 2, 3], "train"))
        outputs[idle] = sys.stdout.getvalue()
    assert "\r" in outputs[False] and "\r" not in outputs[True]
    assert re.fullmatch(r"train 100%\[\*{50}->\] loss:0.000\n", outputs[True])


def test_a_script_that_was_pasted_into_a_notebook(helpers: ModuleType) -> None:
    """Its code has no file: there are no other folder's modules to warn of."""
    names = {"__name__": "__main__"}
    exec(compile("def main(): print('here')", "/gone/ipykernel_1/2.py", "exec"), names)
    assert call(lambda: helpers.run(names["main"]), Path("train.py")).out == "here\n"
    exec(compile("def main(): print('here')", __file__, "exec"), names)
    fails(call(lambda: helpers.run(names["main"]), Path("train.py")), "kernel")


def test_a_loaders_data_set_is_pickled_as_itself(helpers: ModuleType, data_set: Path) -> None:
    """Python 3.10 looks for __getstate__ by getattr, which asks the data set that it wraps."""
    loader = helpers.DataLoader(helpers.ImageFolder(data_set / "train"), collate_fn=list)
    for name in ("__getstate__", "__setstate__", "__reduce__"):
        with pytest.raises(AttributeError):
            loader.dataset.__getattr__(name)


@pytest.mark.slow
def test_one_folder_after_another_in_a_notebook(clone: Path) -> None:
    """%run A/train.py, then %run B/train.py in one kernel: B has modules of its own."""
    data = draw_data_set(clone / "data")
    code = f"""
import os, runpy, sys
os.environ["MPLBACKEND"] = "agg"
for folder in ("{plain.ALEXNET}", "{plain.GOOGLENET}", "{plain.ALEXNET}"):
    path = os.path.join({str(clone)!r}, folder)
    sys.path.insert(0, path)
    sys.argv = ["train.py", "--data-path", {str(data)!r}, "--epochs", "1", "--device", "cpu"]
    runpy.run_path(os.path.join(path, "train.py"), run_name="__main__")
    sys.path.remove(path)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    written = [path.name for path in clone.glob("*/*_last.pth")]
    assert sorted(written) == ["AlexNet_last.pth", "googleNet_last.pth"]
    state = torch.load(clone / plain.GOOGLENET / "googleNet_last.pth", weights_only=True)
    assert "aux1.weight" in state["state"]["net"]
    assert json.loads((clone / plain.GOOGLENET / "class_indices.json").read_text()) == {
        "0": "blue",
        "1": "red",
    }


@pytest.mark.slow
def test_a_folder_whose_run_never_began_and_then_another(clone: Path) -> None:
    """%run A/train.py with a typing error in A's model.py, then %run B/train.py: one line."""
    data = draw_data_set(clone / "data")
    (clone / plain.ALEXNET / "model.py").write_text("raise AttributeError", encoding="utf-8")
    code = f"""
import contextlib, os, runpy, sys
for folder in ("{plain.ALEXNET}", "{plain.RESNET}"):
    path = os.path.join({str(clone)!r}, folder)
    sys.path.insert(0, path)
    sys.argv = ["train.py", "--data-path", {str(data)!r}, "--epochs", "1", "--device", "cpu"]
    sys.modules.pop("model", None)
    sys.modules.pop("pretrained", None)
    with contextlib.suppress(AttributeError):
        runpy.run_path(os.path.join(path, "train.py"), run_name="__main__")
    sys.path.remove(path)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 1 and "start the kernel anew" in result.stderr
    assert not list(clone.glob("*/*.pth"))
