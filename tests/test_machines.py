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
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from types import ModuleType
from unittest.mock import Mock

import matplotlib
import plain
import pytest
import torch
from drawn import draw_data_set
from matplotlib import font_manager, pyplot
from matplotlib.figure import Figure
from running import ROOT, Patch, Result, Tiny, call, copy_lesson, fails, load, run_here, works
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
    for place, data, train in (
        (clone / folder, Path("..", "data_set"), "train.py"),
        (clone, Path("data_set"), Path(folder, "train.py")),
    ):
        split_data, flower_data = data / "split_data.py", data / "flower_data"
        monkeypatch.chdir(place)
        result = run_here(clone / folder / "train.py", *weights)
        fails(result, f"python {split_data} --download", f"python {split_data} --demo")
        # typed out, the default folder is the same one
        result = run_here(clone / folder / "train.py", *weights, "--data-path", flower_data)
        fails(result, f"python {split_data} --download", f"python {split_data} --demo")
        fails(run_here(clone / folder / "predict.py"), f"python {train} makes it")
        if folder == plain.RESNET:
            (clone / "x.jpg").touch()
            fails(run_here(clone / folder / "batch_predict.py", clone), f"python {train}")


def test_from_nothing_to_a_prediction_by_what_is_printed(clone: Path, monkeypatch: Patch) -> None:
    """In Test5, offline: every command but the first is one that the line before it names."""

    def by_the_line(line: str, command: str) -> Result:
        found = re.search(rf"python (\S*{command}.*?)(?: \(|, | draws| makes|$)", line)
        script, *options = found[1].split()
        return run_here(Path(script).resolve(), *options)

    monkeypatch.chdir(clone)
    monkeypatch.setattr(torch.hub, "download_url_to_file", Mock(side_effect=OSError("no network")))
    options = ["--model-name", "resnet18", "--epochs", 1, "--output-dir", "results"]
    train = Path(plain.RESNET, "train.py")
    result = run_here(train.resolve(), *options)
    result = works(by_the_line(result.err, "split_data.py --demo"))
    (line,) = result.lines("next: ")
    assert line == f"next: python {Path(plain.ALEXNET, 'train.py')}, or another lesson's"
    script = Path(plain.RESNET, "predict.py")
    result = run_here(script.resolve(), *options[:2], *options[-2:])
    fails(result, f"python {train} --model-name resnet18 --output-dir results makes it")
    fails(run_here(train.resolve(), *options), "no network", "--weights none")
    result = run_here(train.resolve(), *options, "--weights", "none")
    (line,) = works(result).lines("next: ")
    predict = f"python {script} --model-name resnet18 --output-dir results"
    assert line == f"next: {predict} (a validation photo), or {predict} your_photo.jpg"
    assert works(by_the_line(line, "predict.py")).lines("image: ")


def test_the_next_command_has_the_options_that_were_typed(
    helpers: ModuleType, monkeypatch: Patch
) -> None:
    monkeypatch.chdir(helpers.HERE)
    for typed, wanted in (
        ("--epochs 3 --device cpu", ""),
        ("--data-path=photos --seed 1", " --data-path photos"),
        ("--data my_photos a.jpg", " --data-path my_photos"),  # as argparse takes it
        ("--output-dir a --model-name vgg11", " --model-name vgg11 --output-dir a"),
    ):
        monkeypatch.setattr(sys, "argv", ["train.py", *typed.split()])
        assert helpers.next_command("predict.py") == f"python predict.py{wanted}"
    for value, wanted in (
        ("my photos", '--data-path "my photos"'),
        ("a&b(1)", '--data-path "a&b(1)"'),
        ("$HOME", "--data-path '$HOME'"),
        ("~", '--data-path "~"'),
        ("花/a-b", "--data-path 花/a-b"),
        ("", '--data-path ""'),
        ("-r", "--data-path=-r"),
    ):
        monkeypatch.setattr(sys, "argv", ["train.py", f"--data-path={value}"])
        assert helpers.next_command("predict.py") == f"python predict.py {wanted}"
    place = Path("a (1)", "predict.py")
    assert helpers.command(place.absolute(), "") == f'python "{place}"'


def test_weights_that_are_not_there(tiny: Tiny, monkeypatch: Patch) -> None:
    """What was typed wrong is not what train.py makes."""
    works(tiny.train("--epochs", 1))
    monkeypatch.chdir(tiny.folder)
    result = tiny.predict("--weights", "AlexNt.pth")
    fails(result, "AlexNt.pth", "there is AlexNet.pth, which --weights can name")
    assert "train.py" not in result.err
    result = tiny.predict("--output-dir", "gone")
    fails(result, "python train.py --output-dir gone makes it")


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
    def workers(cpus: int, processes: int = 1, device: str = "cuda:0") -> int:
        monkeypatch.setattr(os, "cpu_count", lambda: 64)  # the host's
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cpus)), raising=False)
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
        return helpers.default_workers(device)

    assert [workers(cpus) for cpus in (1, 2, 4, 32)] == [1, 2, 4, 4]
    assert [workers(8, processes) for processes in (2, 4, 8, 16)] == [4, 2, 1, 0]
    assert workers(32, device="cpu") == 0
    monkeypatch.delattr(os, "sched_getaffinity")  # as on Windows and macOS
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")
    assert [helpers.default_workers(device) for device in ("cpu", "cpu:0", "mps")] == [0, 0, 4]


def test_workers_beside_the_device_that_is_named(
    helpers: ModuleType, monkeypatch: Patch, capsys: pytest.CaptureFixture
) -> None:
    """On a machine that has an accelerator, or seems to."""
    zeros = torch.zeros

    def on_any_device(*args: object, device: str) -> object:
        return zeros(*args) if device == "cpu" else Mock(device=torch.device(device))

    monkeypatch.setattr(torch, "zeros", on_any_device)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(helpers, "default_device", lambda: "mps:0")
    parser = helpers.train_parser("", epochs=1, batch_size=1, lr=1.0)
    for options, workers in (
        ([], 4),
        (["--device", "cpu"], 0),
        (["--device", "cpu", "--workers", "3"], 3),
        (["--workers", "0"], 0),
        (["--work=6"], 6),
    ):
        assert parser.parse_args(options).workers == workers
    with pytest.raises(SystemExit):
        parser.parse_args(["--help"])
    assert "(default: 4; none with --device cpu)" in capsys.readouterr().out
    for workers in (0, 2):  # as in Test1, and as a learner may
        parser.set_defaults(workers=workers)
        assert parser.parse_args([]).workers == workers
        assert parser.parse_args(["--device", "cpu"]).workers == workers


@pytest.fixture
def spawned(helpers: ModuleType, monkeypatch: Patch) -> ModuleType:
    """helpers.py, as a data worker can import it that is spawned."""
    monkeypatch.setitem(sys.modules, "helpers", helpers)
    monkeypatch.syspath_prepend(helpers.HERE)
    return helpers


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
    spawned: ModuleType,
) -> None:
    first, pids, second, pids_again = batches(spawned, num_workers=0)
    assert first != second and pids == pids_again == {os.getpid()}
    for workers in (1, 2):
        found = batches(spawned, num_workers=workers)
        assert found[0] == first and found[2] == second
        assert found[1] == found[3] != {os.getpid()} and len(found[1]) == workers


class Changed:
    """A data set whose images are a number that the learner's code changes."""

    number = 0

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> int:
        return self.number


@pytest.mark.parametrize(
    ("options", "seen"),
    [
        ({"num_workers": 0}, [0, 1]),
        ({"num_workers": 1}, [0, 0]),
        ({"num_workers": 1, "persistent_workers": False}, [0, 1]),
    ],
)
def test_workers_see_a_change_of_the_data_set_only_if_they_are_started_anew(
    options: dict, seen: list[int], spawned: ModuleType
) -> None:
    """As the README says of an attribute that is changed between two epochs."""
    data_set = Changed()
    loader = spawned.DataLoader(data_set, batch_size=4, **options)
    for number in seen:
        assert [images.tolist() for images in loader] == [[number] * 4]
        data_set.number += 1


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


class Sent(Exception):
    """A worker would be started, and is not."""


def size_sent(loader: torch.utils.data.DataLoader, patch: Patch) -> int:
    """How many bytes a spawned worker is sent through its pipe."""
    sizes = []

    def send(process: multiprocessing.Process) -> None:
        popen = multiprocessing.context.get_spawning_popen()
        multiprocessing.context.set_spawning_popen(Popen)
        try:
            start = multiprocessing.spawn.get_preparation_data(process.name)
            sizes.append(sum(len(ForkingPickler.dumps(part)) for part in (start, process)))
        finally:
            multiprocessing.context.set_spawning_popen(popen)
        raise Sent

    patch.setattr(multiprocessing.context.SpawnProcess, "_Popen", staticmethod(send))
    with pytest.raises(Sent):
        iter(loader)
    return sizes[0]


class Popen:
    """What multiprocessing asks while it pickles a process: files keep their numbers."""

    DupFd = staticmethod(int)
    duplicate_for_child = staticmethod(int)


def test_what_a_spawned_worker_is_sent_fits_into_its_pipe(
    spawned: ModuleType, tmp_path: Path, monkeypatch: Patch
) -> None:
    """4 KiB on Windows: nobody waits for another worker's start, however many photos there are."""
    root = draw_data_set(tmp_path / "data", train=60) / "train"
    for number in range(300):
        folder = root / f"a class with a long name {number}"
        folder.mkdir()
        shutil.copy(root / "blue" / "blue_0.png", folder)
        shutil.copy(root / "blue" / "blue_0.png", root / "blue" / f"copy number {number}.png")
    data_set = spawned.ImageFolder(root)
    assert len(data_set.classes) == 302 and len(data_set) == 720
    for part in (data_set, torch.utils.data.Subset(data_set, [0])):
        loader = spawned.DataLoader(part, num_workers=2, multiprocessing_context="spawn")
        with monkeypatch.context() as patch:
            assert size_sent(loader, patch) < 4096
    again = ForkingPickler.loads(ForkingPickler.dumps(data_set))
    assert again.samples == again.imgs == data_set.samples and again.targets == data_set.targets
    assert again.class_to_idx == data_set.class_to_idx and again.classes == data_set.classes


@pytest.mark.parametrize("fault", ["switch", "figure", "show"])
def test_a_backend_that_fails(fault: str, tiny: Tiny, monkeypatch: Patch) -> None:
    """An editor's that is too old fails in any of the three, Tk without its files in the second."""
    works(tiny.train("--epochs", 1))
    switch, figure = pyplot.switch_backend, pyplot.figure
    error = AttributeError("module 'backend_interagg' has no attribute")
    if fault == "figure":
        error = RuntimeError("Can't find a usable init.tcl")
    chosen = []

    def switch_backend(backend: str) -> None:
        chosen.append(backend)
        if "interagg" not in backend:
            switch(backend)
        elif fault == "switch":
            raise error

    def new_figure(**options: object) -> Figure:
        if fault == "figure" and "interagg" in chosen[-1]:
            raise error
        return figure(**options)

    monkeypatch.setattr(pyplot, "switch_backend", switch_backend)
    monkeypatch.setattr(pyplot, "figure", new_figure)
    monkeypatch.setattr(pyplot, "show", Mock(side_effect=error))
    monkeypatch.setenv("MPLBACKEND", "module://backend_interagg")
    for _ in range(2):  # PyCharm's console runs a script again in the same Python
        result = works(tiny.predict())
        assert "drawn in" in result.out and (tiny.folder / "AlexNet_prediction.png").exists()
        assert ("cannot be shown here" in result.out) == (fault == "show")
        (tiny.folder / "AlexNet_prediction.png").unlink()


@pytest.mark.parametrize(
    ("backend", "first"),
    [("module://matplotlib_inline.backend_inline", "results"), ("no_such", "confusion")],
)
def test_matplotlib_is_imported_beside_a_notebooks_backend(
    backend: str, first: str, tmp_path: Path
) -> None:
    """Its import refuses such a name, where the notebook's packages are those of another Python."""
    code = """
import sys
from pathlib import Path
import plots, torch
out, first = Path(sys.argv[1]), sys.argv[2]
if first == "confusion":
    plots.draw_confusion(out / "a.png", torch.eye(2), ["a", "b"], show=True)
else:
    plots.draw_results(out / "a.pth", [{"val_loss": 1.0}])
"""
    subprocess.run(
        [sys.executable, "-c", code, tmp_path, first],
        check=True,
        cwd=ROOT / plain.ALEXNET,
        env={**os.environ, "MPLBACKEND": backend},
    )
    assert len(list(tmp_path.glob("a*.png"))) == 1


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
        (
            RuntimeError("CUDA error: invalid device ordinal\nCUDA kernel errors might"),
            "torch finds",
        ),
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


def test_a_default_device_that_cannot_hold_a_number(tiny: Tiny, monkeypatch: Patch) -> None:
    """As on macOS runners, where torch reports MPS: nobody typed --device."""
    zeros = torch.zeros

    def failing(*args: object, **options: object) -> torch.Tensor:
        if options.get("device") == "mps:0":
            raise RuntimeError("MPS backend out of memory (MPS allocated: 0 bytes)")
        return zeros(*args, **options)

    monkeypatch.setattr(torch, "zeros", failing)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: torch.device("mps"))
    result = tiny.train()
    line = result.err.splitlines()[-1]
    assert result.status == 2 and "--device mps:0" in line and "try --device cpu" in line
    monkeypatch.undo()
    works(tiny.train("--device", "cpu"))


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
