"""What no lesson teaches: options, image files, progress, saving and loading. The same file in all five folders."""

import argparse
import contextlib
import inspect
import json
import os
import re
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import torch
from PIL import Image, ImageOps
from torchvision import datasets

HERE = Path(__file__).resolve().parent
HIDDEN = re.compile(
    r"(^|/)(\.|(__MACOSX|@eaDir|\$RECYCLE\.BIN|System Volume Information)(/|$))", re.IGNORECASE
)
LIMITS = {  # what torch says where a machine's limit is reached: what helps
    r"DataLoader worker|shared memory|/torch_\w+>": "a worker failed: try --workers 0, or docker run --shm-size=2g",
    "out of memory|ALLOC_FAILED|allocate memory|not enough memory|MemoryError": "out of memory: try less --batch-size",
    "loaded state dict": "the optimizer in the file of --resume is of other weights than train.py's: start without it",
}


class UserError(Exception):
    """Something the user can put right. The message is one line: what is wrong, and what to do."""


def run(main: Callable[[], None]) -> None:
    """Call a script's main(). What the user can put right ends in one line and exit status 1, Ctrl-C in 130."""
    if sys.version_info < (3, 10) or torch.__version__ < (2, 6):
        sys.exit(
            "error: Python 3.10 and torch 2.6 or newer are needed: pip install --upgrade torch torchvision"
        )
    with contextlib.suppress(
        AttributeError
    ):  # a log gets each line at once, and a letter that it cannot hold escaped
        sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except (UserError, OSError, RuntimeError, ValueError, MemoryError) as error:
        advice = [
            tip
            for said, tip in LIMITS.items()
            if re.search(said, repr(error)) and type(error) is not UserError
        ]
        if isinstance(error, (RuntimeError, ValueError)) and not advice:
            raise  # a mistake in the code: its traceback is wanted
        sys.exit(f"error: {advice[0] if advice else last_line(error)}")


def last_line(error: Exception) -> str:
    """An error's message; of one that a data worker raised, what stands below the worker's traceback."""
    return (
        (str(error).strip() or type(error).__name__)
        .splitlines()[-1]
        .removeprefix("helpers.UserError: ")
    )


class Parser(argparse.ArgumentParser):
    """The options of every script, and a check of all values: what cannot be used ends with exit status 2."""

    def __init__(self, description: str):
        super().__init__(
            description=description, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        data_path = (
            HERE.parent / "data_set" / "flower_data"
            if (HERE.parent / "data_set").is_dir()
            else HERE / "data"
        )
        self.add("--data-path", data_path, "folder of the data set")
        self.add("--output-dir", HERE, "folder that train.py writes to")
        accelerator = (
            torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        )
        number = os.environ.get("LOCAL_RANK", 0)  # set by torchrun, for one process on each GPU
        self.add(
            "--device", f"{accelerator}:{number}" if accelerator else "cpu", "cpu, cuda:0, mps, ..."
        )

    def add(self, name: str, default: object, text: str) -> None:
        self.add_argument(
            name, type=type(default), default=default, help=f"{text} (default: %(default)s)"
        )

    def parse_args(self, *args: object) -> argparse.Namespace:
        options = super().parse_args(*args)
        for name, least in {
            "epochs": 1,
            "batch_size": 1,
            "workers": 0,
            "seed": 0,
            "lr": 1e-30,
        }.items():
            if not least <= getattr(options, name, least) < 2**31:
                self.error(f"--{name.replace('_', '-')} must be from {least} to {2**31 - 1}")
        try:
            options.device = torch.zeros(1, device=options.device).device  # cuda is cuda:0
        except (
            RuntimeError,
            AssertionError,
        ) as error:  # an AssertionError: this torch was built without CUDA
            self.error(f"--device {options.device}: {last_line(error)}")
        bfloat16 = {
            "cuda": lambda: torch.cuda.is_bf16_supported(False),
            "cpu": torch.cpu._is_avx512_bf16_supported,
        }
        if (
            getattr(options, "amp", False) and not bfloat16.get(options.device.type, bool)()
        ):  # False: not if emulated
            self.error(
                f"--amp needs units for bfloat16, and torch reports none for {options.device}"
            )
        return options


def train_parser(description: str, *, epochs: int, batch_size: int, lr: float) -> Parser:
    """The options of train.py that all lessons share, with the lesson's values as their defaults."""
    parser = Parser(description)
    parser.add("--epochs", epochs, "number of passes over the training set")
    parser.add("--batch-size", batch_size, "images per step")
    parser.add("--lr", lr, "learning rate")
    # beside a CPU that computes the net a worker takes a core, and every layer waits for the thread that shares it
    workers = min(8, (os.cpu_count() or 1) // (1 if torch.accelerator.is_available() else 4))
    parser.add("--workers", workers, "number of processes that load images")
    parser.add("--seed", 0, "the same seed gives the same numbers")
    parser.add_argument(
        "--amp", action="store_true", help="compute in bfloat16 where that is safe (autocast)"
    )
    parser.add_argument(
        "--resume", action="store_true", help="resume after the last completed epoch"
    )
    return parser


def predict_parser(description: str, model_names: Iterable[str] = (), default: str = "") -> Parser:
    """The options of predict.py that all lessons share, and --model-name where there are several nets."""
    parser = Parser(description)
    if model_names:
        parser.add_argument(
            "--model-name", choices=model_names, default=default, help="net (default: %(default)s)"
        )
    parser.add_argument(
        "images", type=Path, nargs="*", metavar="IMAGE", help="image files, or folders of them"
    )
    parser.add_argument(
        "--weights", type=Path, help="weights file (default: the one that train.py wrote)"
    )
    parser.add_argument(
        "--save", type=Path, metavar="FIGURE", help="file for the figure, which is not shown then"
    )
    return parser


def find_images(*paths: Path) -> list[Path]:
    """The images that `paths` name: files, and in folders and their subfolders all that Pillow can open, by the file's
    ending, sorted by name. What is left out of a folder is counted and named."""
    endings = {
        ending
        for ending, kind in Image.registered_extensions().items()
        if kind in {*Image.OPEN, "MPO"}
    }
    images = []
    for path in paths:
        files = [
            file
            for file in sorted(path.rglob("*"))
            if not HIDDEN.search(file.relative_to(path).as_posix())
        ]
        found = [file for file in files if file.suffix.lower() in endings and file.is_file()]
        if others := sorted(file.name for file in {*files} - {*found} if not file.is_dir()):
            print(
                f"left out of {path}: {len(others)} files that are no images, such as {others[0]}"
            )
        if not found and not path.is_file():
            raise UserError(
                f"no images in {path}"
                if path.is_dir()
                else f"no image {path}: name one, or --data-path"
            )
        images += found or [path]
    return images


def open_image(path: str) -> Image.Image:
    """Read an image file as an upright RGB picture: transparent places become white, 16 bits become 8. A large JPEG is
    decoded at a half, a quarter or an eighth of its size, with 800 pixels or more on its short side."""
    Image.MAX_IMAGE_PIXELS = (
        2**28
    )  # Pillow refuses twice as many; its own limit is below what phones take
    try:
        with (
            warnings.catch_warnings(record=True),
            Image.open(path) as image,
        ):  # warnings: about odd EXIF entries
            if image.format not in ("JPEG", "MPO") and image.width * image.height > 178_956_970:
                raise UserError("it has more than 178,956,970 pixels")
            image.draft(None, (800, 800))
            image.getexif()  # read once, and kept from exif_transpose, which would write it again and could fail
            image.info.pop("exif", None)
            image = ImageOps.exif_transpose(image)
        if image.mode == "F" or (image.mode == "I" and image.getextrema()[1] > 65535):
            raise UserError("it has 32 bits per channel, not 8 or 16")
        if (
            image.mode[0] == "I"
        ):  # 16 bits: Pillow's own conversion to RGB would cut everything above 255
            image = image.convert("I").point(lambda value: value / 257).convert("L")
        if image.has_transparency_data:
            image = image.convert("RGBA")
            if image.getextrema()[3] != (
                0,
                0,
            ):  # 0 everywhere: a channel that nobody filled, as in some BMP files
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        longest = 50 * min(
            image.size
        )  # Resize(256) would make gigabytes of a strip of 1 x 10,000 pixels
        return ImageOps.fit(image, tuple(min(side, longest) for side in image.size)).convert("RGB")
    except Exception as error:  # garbage makes Pillow's decoders fail in any way
        raise UserError(f"cannot read the image {path}: {last_line(error)}") from None


class ImageFolder(datasets.ImageFolder):
    """torchvision's ImageFolder over what find_images finds, read by open_image. val/ has the classes of train/."""

    def __init__(self, root: Path, transform: object = None):
        super().__init__(root, transform, loader=open_image)
        train = root.with_name("train")
        if (
            root.name == "val"
            and train.is_dir()
            and (other := {*self.classes} ^ {*self.find_classes(train)[0]})
        ):
            raise UserError(f"{root} and {train} differ in classes: {', '.join(sorted(other))}")

    def find_classes(self, directory: Path) -> tuple[list[str], dict[str, int]]:
        if not directory.is_dir():
            raise UserError(
                f"no folder {directory}: --data-path names the folder that holds train/ and val/"
            )
        classes = sorted(
            path.name
            for path in directory.iterdir()
            if path.is_dir() and not HIDDEN.search(path.name)
        )
        if len(classes) < 2:
            raise UserError(
                f"{directory} should hold one folder of images per class, and holds {len(classes)} folders"
            )
        return classes, {name: index for index, name in enumerate(classes)}

    @staticmethod
    def make_dataset(
        directory: Path, class_to_idx: dict[str, int], **_: object
    ) -> list[tuple[str, int]]:
        return [
            (str(path), index)
            for name, index in class_to_idx.items()
            for path in find_images(directory / name)
        ]


class ProgressBar:
    """Goes through a loader's batches and shows `text 42%[****->......] loss:1.234`, with the `loss` set in the loop:
    on a terminal again and again in one line, elsewhere every ten seconds. `waited`: seconds of waiting for batches."""

    def __init__(self, loader: torch.utils.data.DataLoader, text: str):
        self.loader, self.text, self.loss, self.waited = loader, text, 0.0, 0.0

    def __iter__(self) -> Iterator:
        live = sys.stdout.isatty()
        width = (
            max(1, min(50, shutil.get_terminal_size().columns - 45)) if live else 50
        )  # a wrapped line stays
        drawn = asked = time.monotonic()
        for step, batch in enumerate(self.loader, start=1):
            self.waited += time.monotonic() - asked
            yield batch
            asked, share = time.monotonic(), step / len(self.loader)
            if share == 1 or asked - drawn > (0.1 if live else 10):
                drawn, stars = asked, int(share * width)
                bar = f"{self.text} {share:.0%}[{'*' * stars}->{'.' * (width - stars)}] loss:{self.loss:.3f}"
                print(
                    f"\r{bar} " if live else bar, end="" if live and share < 1 else "\n", flush=True
                )


def save(content: object, path: Path) -> None:
    """Write text, a figure, or what torch.save takes. At every moment `path` is the old file or the new one, whole."""
    path = path.resolve()  # where a symbolic link points to
    part = path.with_name(f"{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            part.write_text(content, encoding="utf-8", newline="")
        elif hasattr(content, "savefig"):
            content.savefig(part, format=path.suffix[1:].lower(), bbox_inches="tight")
        else:
            torch.save(content, part)
        for wait in (
            0.1,
            0.4,
            1.5,
        ):  # Windows refuses while a viewer or a virus scanner holds the old file open
            with contextlib.suppress(PermissionError):
                return part.replace(path)
            time.sleep(wait)
        part.replace(path)
    except (
        OSError,
        RuntimeError,
        ValueError,
    ) as error:  # a RuntimeError of torch's, a ValueError of matplotlib's
        raise UserError(
            f"cannot write {path} ({last_line(error)}): --output-dir names another folder"
        ) from None
    finally:
        with contextlib.suppress(OSError):  # it has been renamed, or never was there
            part.unlink()


def keep_previous(save_path: Path, cla_dict: dict[int, str], resume: bool) -> None:
    """Before a new run, rename an earlier one's AlexNet.pth to AlexNet_previous.pth, and so on: no weights ever meet
    another run's class names. A UserError if class_indices.json is of other classes than `cla_dict`, and is needed."""
    last, names = (
        save_path.with_stem(f"{save_path.stem}_last"),
        save_path.with_name("class_indices.json"),
    )
    needed_by = [
        path.name for path in save_path.parent.glob("*_last.pth") if resume or path != last
    ]
    if (
        needed_by
        and names.exists()
        and read_classes(save_path) != {str(i): n for i, n in cla_dict.items()}
    ):
        raise UserError(
            f"{names}, which {needed_by[0]} needs, is of other classes: --output-dir names another folder"
        )
    previous = save_path.with_stem(f"{save_path.stem}_previous")
    if save_path.exists() and not resume:
        print(f"an earlier run's files are kept as {previous.name} and so on")
        previous.unlink(missing_ok=True)
        if names.exists():
            shutil.copy(names, names.with_stem(f"class_indices_{previous.stem}"))
    for end in ("_last.pth", ".pth", "_results.png", "_mistakes.png"):
        if (path := save_path.with_name(save_path.stem + end)).exists() and not resume:
            path.replace(path.with_stem(f"{path.stem}_previous"))


def read_classes(weights: Path) -> dict[str, str]:
    """The class names that belong to a weights file: {"0": "daisy", ...}."""
    path = weights.with_name(
        f"class_indices{'_' + weights.stem if weights.stem.endswith('_previous') else ''}.json"
    )
    try:
        class_indict = json.loads(
            path.read_text(encoding="utf-8-sig")
        )  # sig: as some editors on Windows write it
        return {str(i): class_indict[str(i)] + "" for i in range(len(class_indict) or 1)}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError(
            f'{path} should hold {{"0": "daisy", "1": ...}}, saved as UTF-8: {error!r}'
        ) from None


def read_weights(path: Path, checkpoint: bool = False) -> dict:
    """A net's state_dict from a file, on the CPU: also out of a checkpoint, and without a wrapper's `module.` in
    its names; or the whole `checkpoint`. Code in the file is not run."""
    try:
        with warnings.catch_warnings(record=True):
            state = dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # garbage makes the unpickler fail in any way
        found = re.search(r"GLOBAL \S+|TorchScript", str(error))
        what = f"it holds {found[0]}" if found else f"it begins with {path.open('rb').read(24)}"
        raise UserError(
            f"{path} is not what torch.save(net.state_dict(), ...) writes: {what}"
        ) from None
    inner = [
        value
        for value in state.values()
        if isinstance(value, dict) and all(map(torch.is_tensor, value.values()))
    ]
    weights = inner[0] if len(inner) == 1 else state
    return (
        state
        if checkpoint
        else {re.sub(r"^((module|_orig_mod)\.)+", "", str(n)): v for n, v in weights.items()}
    )


def load_weights(
    net: torch.nn.Module, weights: dict, path: Path, leave_out: tuple[str, ...] = ()
) -> None:
    """Load the state_dict that came from `path` into the net. Every name and shape must fit, or that is a UserError;
    names that begin with one of `leave_out` are not loaded."""
    ours, theirs = (
        {n: v for n, v in d.items() if not n.startswith(leave_out)}
        for d in (net.state_dict(), weights)
    )
    if other := [
        n
        for n in [*ours, *theirs]
        if (n in ours) != (n in theirs) and not n.endswith("num_batches_tracked")
    ]:
        where = "not in it" if other[0] in ours else "in it alone"
        raise UserError(
            f"{path} is not of this {type(net).__name__}: {other[0]} is {where} ({len(other)} such names)"
        )
    for name, value in theirs.items():
        found, wanted = (
            f"{list(v.shape)}, {v.layout}, float: {v.is_floating_point()}"
            for v in (value, ours[name])
        )
        if found != wanted or not value.isfinite().all():
            raise UserError(
                f"{path} does not fit: {name} should be {wanted} and all finite, and is {found}"
            )
    net.load_state_dict(theirs, strict=False)  # all names have been compared


def save_checkpoint(path: Path, history: list[dict], **parts: object) -> None:
    """Save the history, one dict per epoch, and the state of each part, such as net=net, optimizer=optimizer."""
    rows = [
        {key: value.item() if hasattr(value, "item") else value for key, value in row.items()}
        for row in history
    ]
    given = {
        name: [type(part).__name__, getattr(part, "defaults", {})] for name, part in parts.items()
    }
    save(
        {
            "history": rows,
            "given": given,
            **{name: part.state_dict() for name, part in parts.items()},
        },
        path,
    )


def load_checkpoint(path: Path, **parts: object) -> list[dict]:
    """Bring each part back to where save_checkpoint left it, and return the history. What train.py now gives to an
    optimizer or a scheduler counts where it is another value than before; all else goes on as it was."""
    saved = read_weights(path, checkpoint=True)
    ours = {name: type(part).__name__ for name, part in parts.items()}
    if (theirs := {name: kind for name, (kind, _) in saved.get("given", {}).items()}) != ours:
        raise UserError(
            f"{path} was saved with {theirs}, and train.py has {ours}: start without --resume"
        )
    optimizers = [part for part in parts.values() if hasattr(part, "param_groups")]
    if any("initial_lr" in o.param_groups[0] for o in optimizers) and not any(
        "last_epoch" in saved[n] for n in parts
    ):
        raise UserError(
            "the scheduler is not resumed: save_checkpoint and load_checkpoint need scheduler=scheduler"
        )
    for name, part in parts.items():
        if isinstance(part, torch.nn.Module):
            load_weights(part, saved[name], path)
            continue
        now, settings = (
            part.state_dict(),
            inspect.signature(type(part)).parameters.keys() - {"last_epoch"},
        )
        part.load_state_dict({**saved[name], **{key: now[key] for key in settings & now.keys()}})
        before = saved["given"][name][1]
        for group in getattr(part, "param_groups", []):
            changed = {
                key: value for key, value in part.defaults.items() if value != before.get(key)
            }
            if "lr" in changed:  # a scheduler may have lowered it since
                changed["lr"] = part.defaults["lr"] * (group["lr"] / before["lr"])
            group.update(changed)
            for w in group[
                "params"
            ]:  # fused Adam does not check that its state lies in memory as the weights do
                part.state[w] |= {
                    k: w.data.clone().copy_(v)
                    for k, v in part.state[w].items()
                    if v.shape == w.shape
                }
    print(
        f"resumed {path} after epoch {len(saved['history'])}, lr",
        *(o.param_groups[0]["lr"] for o in optimizers),
    )
    return saved["history"]
