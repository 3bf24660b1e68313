"""What every lesson needs and none of them teaches: reading images, saving and resuming, progress, pictures.

The same file lies in all five folders, so that each folder can be copied away and used alone.
"""

import argparse
import ctypes
import errno
import functools
import gc
import hashlib
import io
import itertools
import json
import math
import multiprocessing
import os
import pickle
import random
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

gc.disable()  # looking for garbage among the 300,000 objects of torch and torchvision would take half a second
# while that is loaded, Ctrl-C ends the script without a traceback; a worker leaves Ctrl-C to the main process for good
IN_WORKER = multiprocessing.current_process().name != "MainProcess"
OURS = signal.getsignal(signal.SIGINT) is signal.default_int_handler and threading.current_thread().name == "MainThread"
if OURS:
    signal.signal(signal.SIGINT, signal.SIG_IGN if IN_WORKER else signal.SIG_DFL)

import torch
from PIL import Image, ImageOps
from torch import nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Dataset, RandomSampler
from torchvision import datasets
from torchvision.datasets.folder import IMG_EXTENSIONS, has_file_allowed_extension
from torchvision.models import get_model_weights

gc.enable()
if OURS and not IN_WORKER:
    signal.signal(signal.SIGINT, signal.default_int_handler)

if TYPE_CHECKING:  # what draws imports matplotlib itself: the workers that load images have no use for it
    from matplotlib.figure import Figure

# ---------------------------------------------------------------- starting and ending a script


class UserError(Exception):
    """Something the learner can mend. The message is one line: what is wrong, and what to do."""


def run(main: Callable[[], None], when_stopped: str = "nothing was changed") -> None:
    """Call a script's main(). A UserError ends it with one line and exit status 1, Ctrl-C with one line and 130."""
    keep_memory()
    if sys.stdout is None:  # as in a program without a console
        sys.stdout = io.StringIO()
    if isinstance(sys.stdout, io.TextIOWrapper):  # a class name that the console cannot show must not end the run
        sys.stdout.reconfigure(errors="backslashreplace")
    gc.freeze()  # what is imported by now stays: main need not look through it for garbage again and again
    try:
        main()
        if multiprocessing.active_children():
            gc.collect()  # ends the loaders' workers now, and not while Python itself shuts down
        gc.freeze()  # Python, when it ends, need not look through anything either
        sys.stdout.flush()
    except UserError as error:
        raise SystemExit(f"error: {last_line(error).removeprefix('utils.UserError: ')}") from None
    except MemoryError:
        raise SystemExit("error: there is too little memory: try a smaller --batch-size") from None
    except RuntimeError as error:
        if "DataLoader worker (pid" in str(error):
            raise SystemExit("error: a process that loads images was ended from outside: try fewer --workers") from None
        # words of CUDA and MPS, of CUDA's libraries, of Linux, of Windows
        if not re.search("out of memory|ALLOC_FAILED|can't allocate memory|not enough memory", str(error)):
            raise
        raise SystemExit("error: there is too little memory: try a smaller --batch-size") from None
    except OSError as error:
        # the lines went to a program that reads no more, such as head; Windows says EINVAL then
        windows = sys.platform == "win32" and error.errno == errno.EINVAL and not error.filename
        if isinstance(error, BrokenPipeError) or windows:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            raise SystemExit(1) from None
        raise SystemExit(f"error: {last_line(error)}") from None  # a folder that may not be read, a link to nowhere
    except KeyboardInterrupt:
        print(f"\nstopped: {when_stopped}", file=sys.stderr)
        if multiprocessing.active_children():  # torch would go on about workers that end before they have started
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        raise SystemExit(130) from None


def first_line(error: Exception) -> str:
    """An error's message in one line, or its name if it has none."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def last_line(error: Exception) -> str:
    """The message of an error that was perhaps raised in a data worker: it comes below the worker's traceback."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


def keep_memory() -> None:
    """Let the C library keep the memory that a training step frees, for the next step to use.

    glibc gives large blocks back to the system and gets them anew, zeroed page by page, in every step: up to a
    quarter of the time of training on a CPU. Only glibc has this switch.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        m_trim_threshold, m_mmap_max = -1, -4  # the names and numbers of malloc.h
        libc.mallopt(m_mmap_max, 0)
        libc.mallopt(m_trim_threshold, -1)


# ---------------------------------------------------------------- options


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows each option's default, where it has one."""

    def _get_help_string(self, action: argparse.Action) -> str:
        return action.help if action.default is None or action.default is False else super()._get_help_string(action)


def number(text: str, kind: type, fits: Callable[[float], bool], meaning: str) -> float:
    """An option's value, or argparse's error (exit status 2) that says what it must be."""
    try:
        value = kind(text)
    except ValueError:
        value = math.nan
    if not fits(value):
        raise argparse.ArgumentTypeError(f"must be {meaning}, not {text!r}")
    return value


def positive_int(text: str) -> int:
    """The value of --epochs, --batch-size and the like."""
    return number(text, int, lambda value: 1 <= value < 2**31, "a whole number from 1 to 2147483647")


def whole_number(text: str) -> int:
    """The value of --workers and --seed."""
    return number(text, int, lambda value: 0 <= value < 2**63, "a whole number from 0")


def learning_rate(text: str) -> float:
    """The value of --lr."""
    return number(text, float, lambda value: 0 < value < math.inf, "a number above 0")


def figure(text: str) -> Path:
    """A file to draw to, of a kind that matplotlib writes."""
    path = Path(text)
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg", ".pdf", ".svg"):
        raise argparse.ArgumentTypeError(f"must end in .png, .jpg, .pdf or .svg, not {text!r}")
    return path


def device(text: str) -> torch.device:
    """A device of this machine: cpu, cuda:0, mps, ..."""
    here = {"cpu": 1}
    if torch.accelerator.is_available():
        here[torch.accelerator.current_accelerator().type] = torch.accelerator.device_count()
    try:
        wanted = torch.device(text)
        known = str(wanted) == text and (wanted.index or 0) < here.get(wanted.type, 0)
    except RuntimeError:  # no device has such a name
        known = False
    if not known:
        raise argparse.ArgumentTypeError(f"no device {text!r} on this machine, which has {', '.join(here)}")
    return wanted if wanted.type == "cpu" else torch.device(wanted.type, wanted.index or 0)  # cuda is cuda:0


def default_device() -> torch.device:
    """The accelerator that torch reports (CUDA, MPS, XPU), else the CPU."""
    if torch.accelerator.is_available():
        return torch.device(torch.accelerator.current_accelerator().type, 0)
    return torch.device("cpu")


def default_workers() -> int:
    """How many processes load images: where an accelerator computes, as many as there are cores, 8 at most.

    On a CPU the net needs the cores itself: a worker that takes one of them makes the other threads wait at the end
    of every layer, so only one core in four loads images, and on a small machine the main process does it.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    cores //= int(os.environ.get("LOCAL_WORLD_SIZE", 1))  # the processes that torchrun starts share them
    most = 4 if sys.platform == "win32" else 8  # every worker of Windows loads torch anew, which takes memory
    return min(most, cores if torch.accelerator.is_available() else cores // 4)


# ---------------------------------------------------------------- images


def is_image(path: str | Path) -> bool:
    """Whether the file's name is an image's (and not that of a hidden file, such as macOS leaves beside one)."""
    name = Path(path).name
    return has_file_allowed_extension(name, IMG_EXTENSIONS) and not name.startswith(".")


def find_images(paths: Sequence[Path]) -> list[Path]:
    """The images that `paths` name: files as they are, folders as all images in them, sorted by name."""
    images = []
    for path in paths:
        if path.is_dir():
            found = sorted(p for p in path.iterdir() if p.is_file() and is_image(p))
            if not found:
                raise UserError(f"no images in the folder {path} (folders in it are not searched)")
            images.extend(found)
        elif path.exists():
            images.append(path)
        else:
            raise UserError(f"no such image: {path}")
    return images


def open_image(path: str | Path) -> Image.Image:
    """Open an image file of any mode as an upright RGB picture.

    The EXIF rotation is applied, transparent places become white, 16 bits a channel are scaled to 8.

    Raises:
        UserError: the file is missing, is no image, is cut short, is larger than Pillow thinks safe, or has 32 bits a
            channel.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd EXIF entries, each time that the image is opened
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                image.load()
                image.getexif()  # read once, and then kept from exif_transpose, which would have to write it again:
                image.info.pop("exif", None)  # Pillow cannot where an entry is of a wrong type
                image = ImageOps.exif_transpose(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UserError(f"cannot read the image {path}: more than {Image.MAX_IMAGE_PIXELS} pixels") from error
    except Image.UnidentifiedImageError as error:
        raise UserError(f"cannot read the image {path}: not an image file") from error
    except MemoryError:
        raise
    except Exception as error:  # garbage makes Pillow's decoders fail in any way
        raise UserError(f"cannot read the image {path}: {first_line(error)}") from error
    if image.mode.startswith("I"):
        image = image.convert("I")
    if image.mode == "F" or (image.mode == "I" and image.getextrema()[1] > 65535):
        raise UserError(f"cannot read the image {path}: it has 32 bits per channel; save it with 8 or 16")
    if image.mode == "I":  # 16 bits: Pillow's own conversion would cut everything above 255 to white
        image = image.point(lambda value: value / 257).convert("L")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    # Resize(256) makes the short side 256: a strip of 1 x 10000 pixels would become a picture of gigabytes
    longest = 50 * min(image.size)
    if max(image.size) > longest:
        image = ImageOps.fit(image, (min(image.width, longest), min(image.height, longest)))
    return image.convert("RGB")


def mix(*numbers: int) -> int:
    """A seed made of several numbers. Torch's CPU generator takes 32 bits, so adding them up would repeat seeds."""
    return random.Random(" ".join(map(str, numbers))).getrandbits(32)


class ImageFolder(datasets.ImageFolder):
    """torchvision's ImageFolder with three additions.

    Images are opened by open_image; bad folders get one clear line; and the random augmentation of an image
    depends on (seed, epoch, index) alone, so that a run can be repeated, or resumed, with any number of workers.

    Args:
        root: the folder that holds one subfolder of images per class
        transform: makes the network's input [3, height, width] from a picture
        seed: another seed, another augmentation
        classes: the class names that the folder must hold; any are right if None

    Raises:
        UserError: the folder is missing, has no class folders, an empty one, or other classes than `classes`.
    """

    def __init__(self, root: Path, transform: Callable, seed: int = 0, classes: list[str] | None = None):
        if not root.is_dir():
            raise UserError(
                f"no folder {root}: --data-path should name a folder that holds train/ and val/, each with one folder "
                "of images per class; data_set/split_data.py makes them"
            )

        def to_be_used(path: str) -> bool:  # hidden folders hold copies that editors and other programs keep
            return is_image(path) and not any(part.startswith(".") for part in Path(path).relative_to(root).parts)

        try:
            super().__init__(root, transform, loader=open_image, is_valid_file=to_be_used)
        except FileNotFoundError as error:  # torchvision's words: no class folders, or no images in some
            endings = ", ".join(IMG_EXTENSIONS)
            raise UserError(f"{root} should hold one folder of images ({endings}) per class: {error}") from error
        if classes is not None and self.classes != classes:
            differing = ", ".join(sorted(set(classes) ^ set(self.classes)))
            raise UserError(f"the classes in {root} are not those of the training set, see: {differing}")
        if len(self.classes) < 2:
            raise UserError(f"{root} holds one class, {self.classes[0]}: two are needed to tell apart")
        self.seed = seed
        self.epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # seen by workers that run already

    def find_classes(self, directory: str | Path) -> tuple[list[str], dict[str, int]]:
        """The class folders, without hidden ones such as .ipynb_checkpoints."""
        names = sorted(p.name for p in Path(directory).iterdir() if p.is_dir() and not p.name.startswith("."))
        if not names:
            raise FileNotFoundError("it holds no folders")
        return names, {name: index for index, name in enumerate(names)}

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(mix(self.seed, int(self.epoch), index))
            return super().__getitem__(index)


class ImageFiles(Dataset):
    """Image files without classes. An item is (path, the transformed picture, None) or (path, None, what is wrong)."""

    def __init__(self, paths: Sequence[Path], transform: Callable):
        self.paths = paths
        self.transform = transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Path, torch.Tensor | None, str | None]:
        try:
            return self.paths[index], self.transform(open_image(self.paths[index])), None
        except UserError as error:
            return self.paths[index], None, str(error)


def stack_readable(items: list[tuple]) -> tuple[list[Path], torch.Tensor | None, list[str]]:
    """Make a batch of ImageFiles' items: the paths of the readable images, these as one tensor, the others' errors."""
    images = [image for _, image, _ in items if image is not None]
    return (
        [path for path, image, _ in items if image is not None],
        torch.stack(images) if images else None,
        [error for _, _, error in items if error],
    )


def open_cifar10(root: Path, train: bool) -> datasets.CIFAR10:
    """CIFAR-10's training or test set, fetched to `root` if it is not there.

    Raises:
        UserError: it is not there, or damaged, and cannot be fetched.
    """
    try:
        try:
            return datasets.CIFAR10(root, train=train)  # download=True would read the files once more, for their MD5
        except RuntimeError:  # not there, or not whole
            return datasets.CIFAR10(root, train=train, download=True)
    except (OSError, RuntimeError) as error:  # no network; a file whose MD5 is wrong
        raise UserError(
            f"CIFAR-10 is not in {root}, or is damaged, and could not be fetched ({first_line(error)}): "
            f"put {datasets.CIFAR10.url} there, as {root / datasets.CIFAR10.filename}"
        ) from error


def seed_epoch(seed: int, epoch: int, loader: DataLoader) -> None:
    """Set the random numbers of one epoch: the order of the images, their augmentation, and dropout.

    They depend on (seed, epoch) and not on what ran before, so a resumed run does what an unstopped one does.
    """
    torch.backends.cudnn.deterministic = True  # on a GPU, no convolutions that add up in another order each time
    torch.manual_seed(mix(seed, epoch))
    if isinstance(loader.sampler, RandomSampler):  # what shuffle=True makes: it shares the loader's generator
        loader.sampler.generator = torch.Generator().manual_seed(mix(seed, epoch, 1))
    if isinstance(loader.dataset, ImageFolder):
        loader.dataset.epoch.fill_(epoch)


def loader_options(workers: int, device: torch.device) -> dict:
    """DataLoader's arguments that make it fast: workers that live on between epochs, and pinned memory for CUDA."""
    return {
        "num_workers": workers,
        "persistent_workers": workers > 0,
        "pin_memory": device.type == "cuda",
        "worker_init_fn": ignore_interrupt,
        # of its own: the loader takes a number when it starts workers, and dropout's numbers must not shift by that
        "generator": torch.Generator(),
    }


def ignore_interrupt(worker_id: int) -> None:
    """Leave Ctrl-C to the main process, in a worker that was forked and so has not imported this file."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


# ---------------------------------------------------------------- progress


class ProgressBar:
    """Go through a loader's batches, drawing `text 42%[****->......] loss:1.234`.

    On a terminal the bar redraws itself; elsewhere (a file, a pipe) it is one line, at the end. Set `loss` in the
    loop: it is read only when the bar is drawn, so a GPU is not made to wait in every step.
    """

    def __init__(self, loader: DataLoader, text: str, quiet: bool = False):
        self.loader = loader
        self.text = text
        self.quiet = quiet
        self.loss: torch.Tensor | float = 0.0

    def __iter__(self) -> Iterator:
        live, drawn, length = sys.stdout.isatty(), 0.0, 0
        try:
            for step, batch in enumerate(self.loader, start=1):
                yield batch
                last = step == len(self.loader)
                if self.quiet or not (last or (live and time.monotonic() - drawn > 0.1)):
                    continue
                drawn = time.monotonic()
                line = self.line(step / len(self.loader))
                # on a terminal over the line before, with blanks where that one was longer
                print(f"\r{line:<{length}}" if live else line, end="\n" if last else "", flush=live)
                length = len(line)
        except UserError:  # an image that cannot be read: what is wrong gets a line of its own
            print("\n" * (length > 0), end="", flush=True)
            raise

    def line(self, share: float) -> str:
        """The bar when `share` of the batches is done, 50 marks wide, or as many as the terminal has room for."""
        start, end = f"{self.text} {share:.0%}[", f"] loss:{float(self.loss):.3f}"
        width = 50
        if sys.stdout.isatty():  # a line that wraps could not be drawn over
            width = max(1, min(width, shutil.get_terminal_size().columns - len(start) - len(end) - 3))
        stars = int(share * width)
        return f"{start}{'*' * stars}->{'.' * (width - stars)}{end}"


# ---------------------------------------------------------------- saving and resuming


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` write a file beside `path` and rename it: whenever the process is killed, `path` is the old file or
    the new one, never a part.

    Raises:
        UserError: the file cannot be written, as on a full disk or in a folder that is write-protected.
    """
    path = path.resolve()  # of a symbolic link, what it points to
    if path.exists() and not path.is_file():
        raise UserError(f"cannot write {path}: it is no file, but a folder or a device")
    unfinished = path.with_name(f"{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(unfinished)
            unfinished.replace(path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UserError(f"cannot write {path}: {error}") from error
    except RuntimeError as error:  # so torch.save reports that a write failed
        raise UserError(f"cannot write {path}, is the disk full? {first_line(error)}") from error


def check_output_dir(save_path: Path, cla_dict: dict[int, str]) -> None:
    """Make the folder that results go to, and find out at once, not after an epoch, whether it will do.

    Raises:
        UserError: it cannot be written to, or holds weights of another net for other classes: they share the file of
            class names.
    """
    folder, names = save_path.parent, class_indices_path(save_path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        if names.exists() and names.read_bytes() != encode_class_names(cla_dict):
            for other in sorted(folder.glob("*.pth")):
                # a - is in the names of ImageNet weights, and earlier runs' weights have class names of their own
                if other != save_path and not re.search(r"-|_last|_previous", other.stem):
                    raise UserError(
                        f"{folder} holds {other.name}, for other classes, and both nets would share "
                        "class_indices.json: choose another folder with --output-dir"
                    )
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error}") from error


def last_path(save_path: Path) -> Path:
    """The file that a run goes on from, beside the file of its best weights: AlexNet_last.pth for AlexNet.pth."""
    return save_path.with_stem(f"{save_path.stem}_last")


def results_path(save_path: Path) -> Path:
    """The picture of how training went: AlexNet_results.png for AlexNet.pth."""
    return save_path.with_name(f"{save_path.stem}_results.png")


def class_indices_path(weights: Path) -> Path:
    """The file of class names that belongs to a weights file, beside it: class_indices.json, or, for an earlier run's
    AlexNet_previous.pth, class_indices_AlexNet_previous.json."""
    own = f"_{weights.stem}" if re.search(r"_previous\d*$", weights.stem) else ""
    return weights.parent / f"class_indices{own}.json"


def encode_class_names(cla_dict: dict[int, str]) -> bytes:
    """What class_indices.json holds."""
    text = json.dumps(cla_dict, indent=4, ensure_ascii=False)
    return text.encode(errors="backslashreplace")  # a folder's name may hold what UTF-8 cannot: JSON knows \udc80


def keep_previous(save_path: Path) -> None:
    """Rename an earlier run's files, so that a new run does not overwrite them: AlexNet.pth to AlexNet_previous.pth,
    or, if that is there, to AlexNet_previous2.pth, and so on. Of the files for --resume, only the latest is kept.

    Wherever this is interrupted, no weights get another run's class names, and --resume does not go on with a run
    whose best weights are gone.
    """
    number = next(n for n in itertools.count(1) if not kept_path(save_path, n).exists())
    kept = kept_path(save_path, number)
    moves = {last_path(save_path): kept_path(last_path(save_path)), save_path: kept}
    moves[results_path(save_path)] = kept_path(results_path(save_path), number)
    try:
        if save_path.exists() and class_indices_path(save_path).exists():
            write_atomically(class_indices_path(kept), lambda p: shutil.copy(class_indices_path(save_path), p))
        for path, target in moves.items():
            if path.exists():
                path.replace(target)
                print(f"{path.name} of an earlier run is kept as {target.name}")
    except OSError as error:
        raise UserError(f"cannot make room for this run's files: {error}") from error


def kept_path(path: Path, number: int = 1) -> Path:
    """Where a file of an earlier run is kept: AlexNet_previous.pth for AlexNet.pth."""
    return path.with_stem(f"{path.stem}_previous{number if number > 1 else ''}")


def save_weights(net: nn.Module, path: Path, cla_dict: dict[int, str]) -> None:
    """Save the net's state_dict to `path`, and the class names to class_indices.json beside it."""
    write_atomically(class_indices_path(path), lambda p: p.write_bytes(encode_class_names(cla_dict)))
    write_atomically(path, lambda p: torch.save(net.state_dict(), p))


def load_file(path: Path) -> dict:
    """Read what torch.save wrote. Only tensors and plain values are loaded: code in the file is never run.

    Raises:
        UserError: the file is missing, damaged, or holds anything else than data.
    """
    if not path.is_file():
        others = [p.name for p in sorted(path.parent.glob("*.pth")) if not p.stem.endswith("_last")]
        such_as = f", such as {', '.join(others)}" if others else ""
        raise UserError(f"no file {path}: train.py writes it, or --weights names another{such_as}")
    try:
        if zipfile.is_zipfile(path):  # torch.load does not look at the checksums that torch.save has written
            with zipfile.ZipFile(path) as archive:
                if bad := archive.testzip():
                    raise UserError(f"{path} is damaged: its part {bad} has changed since it was written")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on a file that torch did not write; it is refused below
            state = torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except PermissionError as error:
        raise UserError(f"cannot read {path}: {error}") from error
    except pickle.UnpicklingError as error:
        raise UserError(f"{path} is damaged, or holds more than weights: it was not loaded") from error
    except Exception as error:  # garbage makes the unpickler fail in any way
        raise UserError(
            f"{path} is damaged, or no weights file ({type(error).__name__}: {first_line(error)})"
        ) from error
    if not isinstance(state, dict):
        raise UserError(f"{path} holds no weights, but a {type(state).__name__}")
    return state


def load_weights(net: nn.Module, path: Path, part: str = "", leave_out: tuple[str, ...] = ()) -> None:
    """Load a weights file into the net. Every name and shape must fit: nothing is half-loaded.

    Args:
        part: take only the file's entries whose names start with this, and take it off them: "features."
        leave_out: the file's entries whose names start with one of these are not wanted: ("aux1.", "aux2.")

    Raises:
        UserError: the file cannot be read, or is of another net or another number of classes.
    """
    state = load_file(path)
    if "optimizer" in state:
        raise UserError(f"{path} is what train.py --resume goes on from; the weights are in the file without _last")
    if not all(isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in state.items()):
        raise UserError(f"{path} holds no weights: a weights file is a net's state_dict")
    state = {name.removeprefix(part): value for name, value in state.items() if name.startswith(part)}
    state = {name: value for name, value in state.items() if not name.startswith(leave_out)}
    expected = net.state_dict()
    wrong = [name for name in (*expected, *state) if (name in expected) != (name in state)]
    # files from before 2018 do not count batch norm's batches, and load_state_dict does not ask them to
    wrong = [name for name in wrong if not (name in expected and name.endswith("num_batches_tracked"))]
    if any("running_mean" in name for name in state) and not any("running_mean" in name for name in expected):
        raise UserError(f"{path} does not fit: it is of a net with batch norm layers, which this net does not have")
    if wrong:
        raise UserError(
            f"{path} is of another net, so train.py had other options: "
            f"{len(wrong)} names are missing or unknown, such as {wrong[0]}"
        )
    *_, last = expected  # the bias of the layer that gives the logits, unless only a part is asked for
    if not part and state[last].shape != expected[last].shape:
        where = "ImageNet" if len(expected[last]) == 1000 else "class_indices.json"
        raise UserError(f"{path} is for {state[last].numel()} classes, not for the {len(expected[last])} of {where}")
    for name, value in expected.items():
        if name in state and state[name].shape != value.shape:
            raise UserError(
                f"{path} is of another net, so train.py had other options: "
                f"{name} is {list(state[name].shape)}, not {list(value.shape)}"
            )
    net.load_state_dict(state)


def load_imagenet_weights(net: nn.Module, model_name: str, weights: str | None, default: Path) -> None:
    """Load ImageNet weights into a 1000-class net: from the file `weights`, else from the file `default`, else
    torchvision's, which are fetched with a progress bar and checked against their hash.

    Raises:
        UserError: the file does not fit, or there is none and it cannot be fetched.
    """
    if weights or default.exists():
        load_weights(net, Path(weights) if weights else default)
        return
    official = get_model_weights(model_name)["IMAGENET1K_V1"]
    try:
        net.load_state_dict(official.get_state_dict(progress=True, check_hash=True, weights_only=True))
    except Exception as error:  # no network, or a wrong hash; and garbage makes the unpickler fail in any way
        fetched = Path(torch.hub.get_dir(), "checkpoints", Path(official.url).name)
        if fetched.exists():  # from an earlier time: torch does not check its hash again
            raise UserError(f"{fetched} is damaged: delete it, and it will be fetched again") from error
        raise UserError(
            f"could not fetch ImageNet weights ({first_line(error)}): put {official.url} at {default}, "
            "or train from scratch with --weights none"
        ) from error


def read_class_indices(weights: Path) -> dict[str, str]:
    """Read the class names of a weights file from class_indices.json: {"0": "daisy", "1": "dandelion", ...}.

    Raises:
        UserError: the file is missing, damaged, or not of this form.
    """
    path = class_indices_path(weights)
    if not path.is_file():
        raise UserError(f"no file {path}: train.py writes it beside the weights")
    try:
        class_indict = json.loads(path.read_text(encoding="utf-8-sig"))  # sig: as some editors of Windows save it
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged: {error}") from error
    fits = isinstance(class_indict, dict) and list(class_indict) == [str(i) for i in range(len(class_indict))]
    if not fits or not class_indict or not all(isinstance(name, str) for name in class_indict.values()):
        raise UserError(f'{path} should hold {{"0": "first class", "1": "second class", ...}}')
    return class_indict


def fingerprint(*image_folders: ImageFolder) -> str:
    """Tells data sets apart: a hash of the class folders, file names and file sizes, wherever the folders lie."""
    digest = hashlib.sha256()
    for folder in image_folders:
        for path in (Path(sample) for sample, _ in folder.samples):
            line = f"{path.parent.name}/{path.name} {path.stat().st_size}\n"
            digest.update(line.encode(errors="backslashreplace"))  # a name may hold bytes that are not UTF-8
    return digest.hexdigest()


def new_history() -> dict:
    """What a run has measured so far: one entry an epoch, and the predictions of the best epoch."""
    return {"train_loss": [], "val_accuracy": [], "best_predictions": []}


def check_loss(loss: float) -> None:
    """Raise UserError if the loss is infinite or NaN: training cannot recover from that."""
    if not math.isfinite(loss):
        raise UserError(f"the loss is {loss}: training has run away. Try a smaller --lr")


def save_checkpoint(save_path: Path, net: nn.Module, optimizer: Optimizer, history: dict, settings: dict) -> None:
    """Save all that --resume needs to go on after the last epoch in `history`."""
    state = {
        "net": net.state_dict(),
        "optimizer": optimizer.state_dict(),
        "history": history,
        "settings": settings,  # the seed among them: with it, the epoch's number gives its random state
    }
    write_atomically(last_path(save_path), lambda p: torch.save(state, p))


def load_checkpoint(save_path: Path, net: nn.Module, optimizer: Optimizer, settings: dict, epochs: int) -> dict:
    """Bring net and optimizer back to where save_checkpoint left them, and return the history. Says so if all of the
    `epochs` are done.

    Raises:
        UserError: there is nothing to resume, the file is damaged, or the run had other settings.
    """
    path = last_path(save_path)
    for needed in (path, save_path):  # without the best weights, those of a worse epoch might be taken for them
        if not needed.exists():
            raise UserError(f"nothing to resume: there is no {needed}. Start without --resume")
    state = load_file(path)
    try:
        before = state["settings"]
        differing = [name for name in {**settings, **before} if before.get(name) != settings.get(name)]
        other = [f"{name} {before.get(name)}, not {settings.get(name)}" for name in differing]
        if "data" in differing:  # two hashes would tell the learner nothing
            other = ["data that is not the same (classes, files or their sizes)"]
        if other:
            raise UserError(f"{path} was made with {'; '.join(other)}: resume with the same, or start without --resume")
        history = state["history"]
        if history.keys() != new_history().keys() or len(history["train_loss"]) != len(history["val_accuracy"]):
            raise ValueError("the history is not one of ours")
        net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
        done = len(history["train_loss"])
        print(f"resumed {path.name}: {done} epochs are done.")
        if done >= epochs:
            print(f"nothing left to do: {done} epochs are done. Ask for more with --epochs")
        return history
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise UserError(f"{path} is damaged, or was not written by this train.py: start without --resume") from error


# ---------------------------------------------------------------- pictures

BLUE, ORANGE = "#0072b2", "#d55e00"  # colours that a colour-blind reader can tell apart


def fonts() -> dict:
    """matplotlib settings under which Chinese, Japanese and Korean names are drawn, where the system has a font."""
    from matplotlib import font_manager

    wanted = ["Microsoft YaHei", "SimHei", "PingFang SC", "Hiragino Sans GB", "Noto Sans CJK SC", "WenQuanYi Micro Hei"]
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return {"font.family": ["DejaVu Sans", *(name for name in wanted if name in installed)]}


@functools.cache
def known_letters() -> set[int]:
    """The letters that the fonts() have."""
    from matplotlib import font_manager

    files = [font_manager.findfont(family) for family in fonts()["font.family"]]
    return {letter for file in files for letter in font_manager.get_font(file).get_charmap()}


@functools.cache
def note_missing_font() -> None:
    """Said once: what the question marks in a picture are."""
    print("a picture shows ? for letters that no font here has; Noto Sans CJK, for example, has Chinese ones")


def drawable(text: str, longest: int = 30) -> str:
    """`text`, shortened in its middle, with a ? for each letter that none of the fonts() has, and no letter read as
    matplotlib's mathematics."""
    if len(text) > longest:
        text = f"{text[: longest // 2]}...{text[3 - (longest - longest // 2) :]}"
    known = known_letters()
    if any(ord(letter) not in known for letter in text):
        note_missing_font()
    return "".join(letter if ord(letter) in known else "?" for letter in text).replace("$", r"\$")


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a figure to a file, of the kind that the name ends in."""
    write_atomically(path, lambda p: figure.savefig(p, dpi=100, format=path.suffix[1:] or "png"))


def draw_results(
    save_path: Path, history: dict, true_labels: Sequence[int], class_names: Sequence[str], part: str = "validation"
) -> None:
    """Draw training loss, accuracy on the data set's `part`, and the best epoch's confusion matrix."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    names = [drawable(name) for name in class_names]
    epochs = range(1, len(history["train_loss"]) + 1)
    accuracy = history["val_accuracy"]
    best = max(range(len(accuracy)), key=accuracy.__getitem__)
    size = len(names)
    true_labels, predicted = torch.as_tensor(true_labels), torch.as_tensor(history["best_predictions"])
    confusion = torch.bincount(true_labels * size + predicted, minlength=size * size).view(size, size)

    with rc_context(fonts()):
        more = min(16, 0.16 * max(0, size - 20))  # inches that the matrix needs for the names of many classes
        figure = Figure(figsize=(15 + more, 4.8 + more), layout="constrained")
        figure.suptitle(save_path.stem)
        loss_axes, accuracy_axes, matrix_axes = figure.subplots(1, 3, width_ratios=[4.8, 4.8, 5.4 + more])

        loss_axes.plot(epochs, history["train_loss"], color=BLUE, marker="o", markersize=4)
        loss_axes.set(title="training loss", xlabel="epoch", ylim=(0, 1.05 * max(history["train_loss"])))
        accuracy_axes.plot(epochs, accuracy, color=BLUE, marker="o", markersize=4)
        accuracy_axes.plot(best + 1, accuracy[best], color=ORANGE, marker="*", markersize=16, linestyle="none",
                           label=f"best: {accuracy[best]:.3f} in epoch {best + 1}")  # fmt: skip
        accuracy_axes.set(title=f"{part} accuracy", xlabel="epoch", ylim=(0, 1.02))
        accuracy_axes.legend(loc="lower right")
        for axes in (loss_axes, accuracy_axes):
            axes.grid(alpha=0.3)
            axes.set_xlim(0.5, len(accuracy) + 0.5)
            axes.xaxis.get_major_locator().set_params(integer=True)

        share = confusion / confusion.sum(dim=1, keepdim=True).clamp(min=1)
        matrix_axes.imshow(share.numpy(), cmap="Blues", vmin=0, vmax=1)
        labels = [f"{name}  {share[i, i]:.0%}" for i, name in enumerate(names)]
        matrix_axes.set(
            title=f"confusion matrix, epoch {best + 1}",
            xlabel="predicted",
            ylabel="true class, % found",
        )
        small = 10 if size <= 12 else 7
        matrix_axes.set_xticks(range(size), names, rotation=45, ha="right", rotation_mode="anchor", fontsize=small)
        matrix_axes.set_yticks(range(size), labels, fontsize=small)
        for i in range(size if size <= 20 else 0):  # beyond that the numbers would be too small to read
            for j in range(size):
                color = "white" if share[i, j] > 0.5 else "black"
                matrix_axes.text(j, i, int(confusion[i, j]), ha="center", va="center", color=color, fontsize=small)
        try:
            save_figure(figure, results_path(save_path))
        except UserError as error:  # Windows locks a picture that is open in a viewer: no reason to stop training
            print(f"no new picture: {error}")


def draw_predictions(
    predictions: Sequence[tuple[Path | Image.Image, str, torch.Tensor]],
    class_names: Sequence[str],
    save: Path | None,
    path: Path,
) -> None:
    """Draw each picture beside the bars of its class probabilities; of many pictures the first eight.

    Shows the figure where there is a screen and `save` is None; else writes it to `save`, or to `path`, and prints
    the file's name. Of many classes, the ten most probable are drawn.

    Args:
        predictions: for each image its path (or the picture itself), its title and its probabilities [num_classes]
    """
    from matplotlib import pyplot, rc_context

    if len(predictions) > 8:
        print(f"the figure shows the first 8 of {len(predictions)} images")
    predictions = predictions[:8]
    with rc_context(fonts()):
        figure = pyplot.figure(figsize=(9, 3.6 * len(predictions)), layout="constrained")
        rows = figure.subplots(len(predictions), 2, squeeze=False)
        for (photo_axes, bar_axes), (source, title, probability) in zip(rows, predictions, strict=True):
            photo_axes.imshow(open_image(source) if isinstance(source, Path) else source)
            photo_axes.set_title("\n".join(drawable(line, longest=40) for line in title.split("\n")), fontsize=10)
            photo_axes.axis("off")
            top = probability.topk(min(10, len(class_names))).indices.sort().values.tolist()
            colors = [ORANGE if i == int(probability.argmax()) else BLUE for i in top]
            bars = bar_axes.barh(range(len(top)), probability[top].tolist(), color=colors)
            bar_axes.set_yticks(range(len(top)), [drawable(class_names[i]) for i in top])
            bar_axes.bar_label(bars, fmt="%.3f", padding=3)
            bar_axes.invert_yaxis()
            bar_axes.set(xlim=(0, 1.15), xlabel="probability", xticks=[0, 0.25, 0.5, 0.75, 1])
        if save is None and pyplot.get_backend().lower() not in ("agg", "cairo", "pdf", "pgf", "ps", "svg", "template"):
            pyplot.show()
            return
        save_figure(figure, save or path)
        pyplot.close(figure)
        print(f"drawn in {save or path}")
