"""What no lesson teaches: options, image files, batches, progress, saving and loading.

The same file stands in all five folders.
"""

import argparse
import contextlib
import errno
import hashlib
import json
import math
import os
import pickle
import random
import re
import shlex
import shutil
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np
import torch
from PIL import Image, ImageOps
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torch.utils.data import default_collate
from torchvision import datasets

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

# before the first annotation such as "int | None", which an older Python cannot evaluate
if sys.version_info < (3, 10):  # noqa: UP036
    sys.exit(f"error: Python 3.10 or newer is needed, and this is {sys.version.split()[0]}")

HERE = Path(__file__).resolve().parent
# folders that systems make for themselves
HIDDEN = {"__macosx", "@eadir", "$recycle.bin", "system volume information"}
MAX_PIXELS = 178_956_970  # of an image that is not a JPEG
# Pillow refuses twice as many; its own limit is below what phones take
Image.MAX_IMAGE_PIXELS = 2**28
LOCKS: list[IO] = []  # open files, which hold the locks of claim_folder until run() closes them
# settings of torch's schedulers, as they call them
SCHEDULE = ("T_max", "total_iters", "total_steps", "step_size", "milestones", "gamma", "factor")
SCHEDULE += ("patience", "threshold", "eta_min", "start_factor", "end_factor", "power")
GET_TORCH = "https://pytorch.org/get-started/locally/"


class UserError(Exception):
    """Something the user can put right. The message is one line: what is wrong, and what to do."""

    def __init__(self, message: str):
        # torch puts the traceback of a data worker before the message: its lines are kept
        if not message.startswith("Caught "):
            message = message.replace("\n", "\\n")  # of a file's name
        super().__init__(message)


# ---- running a script ----


def run(main: Callable[[], None]) -> None:
    """Call a script's main(). What the user can put right ends in one line and exit status 1."""
    if [int(number) for number in torch.__version__.split(".")[:2]] < [2, 6]:
        sys.exit(
            f"error: torch 2.6 or newer is needed, and this is {torch.__version__}: "
            "pip install --upgrade torch torchvision"
        )
    with contextlib.suppress(AttributeError):  # a notebook's output cannot be reconfigured
        # a log gets each line at once, and a letter that it cannot hold is escaped
        sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
        sys.stderr.reconfigure(errors="backslashreplace")
    try:
        check_folder(main)
        main()
    except UserError as error:
        sys.exit(f"error: {one_line(error)}")
    except KeyboardInterrupt as error:
        print(stopped(local_variables(main, error)), file=sys.stderr)
        sys.exit(130)
    except OSError as error:
        save_path = local_variables(main, error).get("save_path")
        is_gone = isinstance(error, FileNotFoundError) and error.filename == str(save_path)
        if is_from_other_code(error) and not is_gone:  # the learner's own: its traceback is wanted
            raise
        sys.exit(f"error: {one_line(error)}")
    except (RuntimeError, MemoryError) as error:
        variables = local_variables(main, error)
        if is_from_loading(error, main, variables):
            path = Path(variables["weights_path"])
            sys.exit(f"error: {does_not_fit(path, error, variables.get('class_indict'))}")
        advice = limit_of_the_machine(error)
        if not advice or is_too_much_asked(error):
            raise  # a mistake in the code: its traceback is wanted
        sys.exit(f"error: {one_line(error)}: {advice}")
    finally:
        while LOCKS:
            LOCKS.pop().close()
        # a notebook's next %run imports the modules of its own folder, and sees what was changed
        folder = os.path.split(__file__)[0]
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None) or ""
            if name != "__main__" and os.path.split(file)[0] == folder:
                del sys.modules[name]


def one_line(error: BaseException) -> str:
    """An error's message: its first line, or its last below the traceback of a data worker."""
    lines = str(error).strip().splitlines()
    if not lines:
        return type(error).__name__
    if lines[0].startswith("Caught "):
        return lines[-1].removeprefix("helpers.UserError: ")
    return lines[0]


def check_folder(main: Callable[[], None]) -> None:
    """A UserError if a notebook has kept another folder's modules, and would train its net."""
    if main.__module__ != "__main__":
        return
    script = Path(main.__code__.co_filename)  # no file, if the script was pasted into a cell
    if script.is_file() and script.resolve().parent != HERE:
        raise UserError(f"the modules of {HERE} are loaded in this Python: start the kernel anew")


def is_from_other_code(error: OSError) -> bool:
    """Whether the learner's own code raised it: in train.py and the like, or in a data worker."""
    if str(error).startswith("Caught "):
        return True
    for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
        file = Path(frame.f_code.co_filename).resolve()
        if file.parent == HERE:
            return file.name not in ("helpers.py", "plots.py", "cifar10.py", "pretrained.py")
    return False


def is_too_much_asked(error: BaseException) -> bool:
    """Whether a learner's own line has asked the CPU for memory: np.zeros of terabytes."""
    if not isinstance(error, MemoryError) and "DefaultCPUAllocator" not in str(error):
        return False
    file = Path(traceback.extract_tb(error.__traceback__)[-1].filename).resolve()
    return file.parent == HERE and file.name not in ("helpers.py", "model.py")


def is_from_loading(error: BaseException, main: Callable[[], None], variables: dict) -> bool:
    """Whether it is of the lesson's own line, net.load_state_dict(read_weights(weights_path))."""
    found = re.match(r"Error\(s\) in loading state_dict for (\w+)", str(error))
    if not found or "weights_path" not in variables:
        return False
    callers = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    is_called_by_main = callers[-2:] == [main.__name__, "load_state_dict"]
    return is_called_by_main and found[1] == type(variables.get("net")).__name__


def local_variables(main: Callable[[], None], error: BaseException) -> dict:
    """The variables of main() when the error ended it."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code is getattr(main, "__code__", None):
            return frame.f_locals
    return {}


def stopped(variables: dict) -> str:
    """What to say after Ctrl-C, by the variables of a script's main()."""
    if "last_path" not in variables:
        return "stopped"
    # without --resume, and before `history` is there, the file is still an earlier run's
    is_this_runs = variables["args"].resume or "history" in variables
    if not is_this_runs or not variables["last_path"].exists():
        return "stopped before the first epoch was completed; without --resume it begins anew"
    saved = torch.load(variables["last_path"], map_location="cpu", mmap=True, weights_only=True)
    return f"stopped: --resume goes on after epoch {len(saved['history'])}"


def limit_of_the_machine(error: BaseException) -> str:
    """What helps, where torch says that the machine's limit is reached; else nothing."""
    text = one_line(error)
    if re.match(r"DataLoader worker \(pid(\(s\))? [\d, ]+\) (is killed|exited)", text):
        return (
            "--workers 0 loads images without workers; docker run --shm-size=2g gives them memory"
        )
    if re.search(r"unable to (open|mmap|write|resize|allocate).*</torch_", text):
        return (
            "it is for data workers; --workers 0 does without, docker run --shm-size=2g gives more"
        )
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or re.search(
        "^CUDA error: out of memory|^MPS backend out of memory|_STATUS_ALLOC_FAILED"
        "|DefaultCPUAllocator: (can't allocate|not enough) memory",
        text,
    ):
        return "a smaller --batch-size needs less memory"
    if text.startswith("CUDA error: no kernel image"):
        return (
            f"this torch, {torch.__version__}, is not built for this card: {GET_TORCH} has others"
        )
    if text.startswith("CUDA error: all CUDA-capable devices are busy"):
        return "another program has the card to itself"
    return ""


# ---- options ----


def whole_number(text: str) -> int:
    """An option's value: 0, 1, 2 ..."""
    number = int(text)
    if not 0 <= number < 2**31:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to {2**31 - 1}")
    return number


def positive_number(text: str) -> int:
    """An option's value: 1, 2, 3 ..."""
    number = int(text)
    if not 1 <= number < 2**31:
        raise argparse.ArgumentTypeError(f"{text} is not from 1 to {2**31 - 1}")
    return number


def number_above_zero(text: str) -> float:
    """An option's value above 0."""
    number = float(text)
    if not (number > 0 and math.isfinite(number)):
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return number


class Parser(argparse.ArgumentParser):
    """The options that every script has. A value that cannot be used ends with exit status 2."""

    def __init__(self, description: str):
        super().__init__(
            description=description, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        data_path = HERE / "data"
        if (HERE.parent / "data_set").is_dir():
            data_path = HERE.parent / "data_set" / "flower_data"
        self.add_argument(
            "--data-path",
            type=Path,
            default=data_path,
            help="folder of the data set (default: %(default)s)",
        )
        self.add_argument(
            "--output-dir",
            type=Path,
            default=HERE,
            help="folder that train.py writes to (default: %(default)s)",
        )
        self.add_argument(
            "--device",
            default=default_device(),
            help="cpu, cuda:0, mps, ... (default: %(default)s)",
        )

    def parse_args(
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        options = super().parse_args(args, namespace)
        if options.device == default_device().partition(":")[0]:
            options.device = default_device()  # cuda is cuda:0, or this process's under torchrun
        try:
            number = torch.zeros(1, device=options.device)
            number.item()  # "meta" cannot give it back
            options.device = str(number.device)
        except (RuntimeError, AssertionError, ImportError) as error:
            self.error(f"--device {options.device}: {one_line(error)}{advice_on_device(error)}")
        if getattr(options, "amp", False) and not has_bfloat16(torch.device(options.device)):
            self.error(f"--amp needs units for bfloat16, and torch finds none in {options.device}")
        is_default = getattr(options, "workers", None) == default_workers(default_device())
        if is_default and not typed_options("--workers", args=args):
            options.workers = default_workers(options.device)
        if hasattr(options, "epochs") and not torch.accelerator.is_available():
            print_unused_card()
        return options


def default_device() -> str:
    """The accelerator that torch finds, else the CPU."""
    if not torch.accelerator.is_available():
        return "cpu"
    number = os.environ.get("LOCAL_RANK", 0)  # set by torchrun, for one process on each GPU
    return f"{torch.accelerator.current_accelerator()}:{number}"


def advice_on_device(error: Exception) -> str:
    """What to do where the device cannot even hold one number."""
    if isinstance(error, AssertionError):  # it was built without support for such a device
        return f": this is torch {torch.__version__}; {GET_TORCH} has others"
    if "out of memory" in one_line(error):
        return ": its memory is in use by other programs: end them, or try --device cpu"
    if "invalid device ordinal" in one_line(error):
        return f": torch finds {torch.accelerator.device_count()} of them, numbered from 0"
    advice = limit_of_the_machine(error)
    return f": {advice}" if advice else ""


def print_unused_card() -> None:
    """A line on an NVIDIA card that this torch cannot use: PyPI's for Windows has no CUDA."""
    if shutil.which("nvidia-smi"):
        built = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
        print(
            f"nvidia-smi is there, but this torch, {torch.__version__}, built {built}, "
            f"finds no card that it can use: see {GET_TORCH}"
        )


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 by itself, as far as torch tells."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        # torch 2.6 has no public name for this question
        return getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    try:
        torch.ones(2, 2, dtype=torch.bfloat16, device=device) @ torch.ones(
            2, 2, dtype=torch.bfloat16, device=device
        )
    except (RuntimeError, TypeError):
        return False
    return True


def default_workers(device: str) -> int:
    """Data workers beside an accelerator: 4, or fewer where this process may use fewer CPUs.

    None beside a CPU that computes the net: a worker takes a core, and every layer waits for the
    thread that shares it.
    """
    if torch.device(device).type == "cpu":
        return 0
    cpus = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # without CPUs that taskset or --cpuset-cpus rules out
        cpus = len(os.sched_getaffinity(0))
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", 1))  # set by torchrun: they share the CPUs
    return min(4, cpus // processes)


def train_parser(description: str, *, epochs: int, batch_size: int, lr: float) -> Parser:
    """The options of train.py that all lessons share, with the lesson's values as defaults."""
    parser = Parser(description)
    also = "" if default_device() == "cpu" else "; none with --device cpu"
    parser.add_argument(
        "--epochs",
        type=positive_number,
        default=epochs,
        help="passes over the training set (default: %(default)s)",
    )
    parser.add_argument(
        "--batch-size",
        type=positive_number,
        default=batch_size,
        help="images per step (default: %(default)s)",
    )
    parser.add_argument(
        "--lr", type=number_above_zero, default=lr, help="learning rate (default: %(default)s)"
    )
    parser.add_argument(
        "--workers",
        type=whole_number,
        default=default_workers(default_device()),
        help=f"number of processes that load images (default: %(default)s{also})",
    )
    parser.add_argument(
        "--seed",
        type=whole_number,
        default=0,
        help="the same seed gives the same numbers (default: %(default)s)",
    )
    parser.add_argument(
        "--amp", action="store_true", help="compute in bfloat16 where that is safe (autocast)"
    )
    parser.add_argument(
        "--resume", action="store_true", help="resume after the last completed epoch"
    )
    return parser


def predict_parser(description: str) -> Parser:
    """The options of predict.py that all lessons share."""
    parser = Parser(description)
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


def command(script: Path, options: str = "") -> str:
    """The command that starts a script, as it must be typed in the folder where the user is."""
    path = str(script)
    with contextlib.suppress(ValueError):  # it is on another drive of Windows
        path = min(os.path.relpath(script), path, key=len)
    return f"python {quoted(path)} {options}".strip()


def quoted(word: str) -> str:
    """A word of a command as shells take it."""
    if re.fullmatch(r"[\w./\\:=+,@-]+", word):
        return word
    if re.search(r'[$`"!]', word):  # bash would put something else for them
        return shlex.quote(word)
    return f'"{word}"'


def typed_options(*names: str, args: Sequence[str] | None = None) -> dict[str, str]:
    """Those of the options that were typed, with their values.

    Args:
        args: the command line (default: this command's)
    """
    parser = argparse.ArgumentParser(add_help=False)
    for name in names:
        parser.add_argument(name, dest=name)
    typed, _ = parser.parse_known_args(args)
    return {name: value for name, value in vars(typed).items() if value is not None}


def next_command(script: str) -> str:
    """The command that goes on with the files of this one: with its folders and its --model-name.

    Args:
        script: its name, such as predict.py
    """
    options = []
    for name, value in typed_options("--model-name", "--data-path", "--output-dir").items():
        options.append(f"{name}{'=' if value.startswith('-') else ' '}{quoted(value)}")
    return command(HERE / script, " ".join(options))


# ---- image files ----


def is_hidden(path: Path) -> bool:
    """Whether a part of the path is hidden, or a folder that systems make for themselves."""
    return any(part.startswith(".") or part.lower() in HIDDEN for part in path.parts)


def can_be_image(path: Path) -> bool:
    """Whether Pillow opens files of that ending."""
    kind = Image.registered_extensions().get(path.suffix.lower())
    return kind in Image.OPEN or kind == "MPO"  # MPO is opened as a JPEG


def is_link_back(place: Path, top: Path) -> bool:
    """Whether a folder that was found below `top` is a link to a folder around it."""
    around = set(Path(os.path.realpath(top)).parents)
    for parent in place.relative_to(top).parents:
        around.add(Path(os.path.realpath(top / parent)))
    return Path(os.path.realpath(place)) in around


def find_images(folder: Path) -> list[Path]:
    """The images in a folder and the folders in it, sorted, without hidden ones.

    Other files are counted in a printed line, which names the first.

    Raises:
        UserError: there are none.
    """
    images, others = [], []
    for place, folders, names in os.walk(folder, followlinks=True):
        if is_link_back(Path(place), folder):
            folders.clear()
            continue
        for path in [Path(place, name) for name in names]:
            if is_hidden(path.relative_to(folder)):
                continue
            if can_be_image(path) and path.is_file():
                images.append(path)
            else:
                others.append(path)
    if others:
        print(f"left out of {folder}: {len(others)} files that are not images: {min(others)} ...")
    if not images:
        raise UserError(f"no images in {folder}")
    return sorted(images)


def open_image(path: str | Path) -> Image.Image:
    """Read an image file as an upright RGB picture: transparent places become white.

    A large JPEG is decoded at a half, a quarter or an eighth of its size, with 800 pixels or more
    on its short side.

    Raises:
        UserError: it cannot be read.
    """
    try:
        if Path(path).is_dir():
            raise IsADirectoryError("it is a folder")
        if not Path(path).is_file():
            raise FileNotFoundError("there is no such file")  # opening a FIFO would wait for ever
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd EXIF entries and many pixels
            with Image.open(path) as image:
                if image.format not in ("JPEG", "MPO") and image.width * image.height > MAX_PIXELS:
                    raise ValueError(f"it has more than {MAX_PIXELS:,} pixels")
                image.draft(None, (800, 800))
                has_16_bits = image.mode.startswith("I;16") or image.format in ("PNG", "PPM")
                return to_rgb(upright(image), has_16_bits)
    except Exception as error:  # garbage makes Pillow's decoders fail in any way
        raise UserError(f"cannot read the image {path}: {one_line(error)}") from None


def upright(image: Image.Image) -> Image.Image:
    """The picture turned as its EXIF entry says, if that can be read."""
    image.load()
    try:
        image.getexif()
    except Exception:  # it is damaged, and fails in any way; the picture need not be
        return image
    image.info.pop("exif", None)  # or exif_transpose would write it again, and could fail
    return ImageOps.exif_transpose(image)


def to_rgb(image: Image.Image, has_16_bits: bool) -> Image.Image:
    """The picture in RGB, 8 bits per channel, on white. `has_16_bits`: integers reach 65535."""
    if image.mode == "F":
        raise ValueError("it has 32 bits per channel, not 8 or 16")
    if image.mode.startswith("I"):
        image = image.convert("I")  # getextrema knows I and I;16, not I;16B
        brightest = image.getextrema()[1]
        if brightest > 65535:
            raise ValueError("it has 32 bits per channel, not 8 or 16")
        if has_16_bits or brightest > 255:  # Pillow's own conversion cuts what is above 255
            image = image.point(lambda value: value / 257)
        image = image.convert("L")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if image.getextrema()[3] != (0, 0):  # 0 everywhere: a channel that nobody filled
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    longest = 50 * min(image.size)  # Resize(256) would make gigabytes of a strip of 1 x 10,000
    width, height = image.size
    return ImageOps.fit(image, (min(width, longest), min(height, longest))).convert("RGB")


class ImageFolder(datasets.ImageFolder):
    """torchvision's ImageFolder, of the images that find_images finds, read by open_image.

    The images of val/ are all read once at the start: one that cannot be read would end the run
    after its first epoch. val/ must have the classes of train/.

    Raises:
        UserError: there are no classes, or no images, or other classes in val/ than in train/.
    """

    def __init__(
        self,
        root: str | Path,
        transform: Callable | None = None,
        target_transform: Callable | None = None,
    ):
        root = Path(root).expanduser()
        super().__init__(root, transform, target_transform, loader=open_image)
        loose = [path for path in sorted(root.iterdir()) if path.is_file() and can_be_image(path)]
        if loose:
            print(
                f"left out of {root}: {len(loose)} images outside the class folders: {loose[0]} ..."
            )
        if root.name == "val":
            train_classes = self.classes
            if root.with_name("train").is_dir():
                train_classes, _ = self.find_classes(root.with_name("train"))
            other = sorted(set(train_classes) ^ set(self.classes))
            if other:
                raise UserError(f"{root} and train differ in classes: {', '.join(other)}")
            for path, _ in self.samples:
                open_image(path)

    def find_classes(self, directory: str | Path) -> tuple[list[str], dict[str, int]]:
        directory = Path(directory)
        if not directory.is_dir():
            raise UserError(f"no folder {directory}: {how_to_get_photos(directory.parent)}")
        classes = class_folders(directory)
        if len(classes) < 2:
            raise UserError(
                f"{directory} should hold one folder of images for each class, two or more, "
                f"and holds {len(classes)}"
            )
        return classes, {name: index for index, name in enumerate(classes)}

    @staticmethod
    def make_dataset(
        directory: str | Path, class_to_idx: dict[str, int], **_: object
    ) -> list[tuple[str, int]]:
        samples = []
        for name, index in class_to_idx.items():
            for path in find_images(Path(directory) / name):
                samples.append((str(path), index))
        return samples

    def __getstate__(self) -> dict:
        """For a data worker: the lists in one tensor, which reaches it through shared memory.

        A spawned worker imports torch before it reads what it is sent, and a pipe holds little: the
        main process would wait for that import, and the workers would start one by one.
        """
        names = [os.path.relpath(path, self.root) for path, _ in self.samples]
        labels = [label for _, label in self.samples]
        content = pickle.dumps((names, labels, self.classes, self.class_to_idx))
        # kept, since it must live until it has arrived
        self.sent = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        state = self.__dict__.copy()
        for name in ("samples", "imgs", "targets", "classes", "class_to_idx"):
            del state[name]
        return state

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        content = pickle.loads(self.sent.numpy().tobytes())
        names, self.targets, self.classes, self.class_to_idx = content
        paths = [str(self.root / name) for name in names]
        self.samples = self.imgs = list(zip(paths, self.targets, strict=True))


def class_folders(folder: Path) -> list[str]:
    """The names of the folders in a folder, sorted, but for hidden ones."""
    folders = [path for path in folder.iterdir() if path.is_dir()]
    return sorted(path.name for path in folders if not is_hidden(Path(path.name)))


def how_to_get_photos(data_path: Path) -> str:
    """The command that makes train/ and val/."""
    split_data = HERE.parent / "data_set" / "split_data.py"
    flower_data = HERE.parent / "data_set" / "flower_data"
    if data_path.resolve() == flower_data.resolve() and split_data.exists():
        return (
            f"{command(split_data, '--download')} fetches the photos (229 MB), "
            f"{command(split_data, '--demo')} draws flowers instead"
        )
    return f"put photos into {data_path / 'train' / '<class>'} and {data_path / 'val' / '<class>'}"


def images_in(paths: list[Path], unreadable: list[str]) -> list[Path]:
    """The images that `paths` name, and those in folders.

    What is wrong with a folder is added to `unreadable`.
    """
    images = []
    for path in paths:
        if not path.is_dir():
            images.append(path)
            continue
        try:
            images += find_images(path)
        except UserError as error:
            unreadable.append(str(error))
    return images


def readable(paths: list[Path], unreadable: list[str]) -> Iterator[Path]:
    """Hand out the images one after the other, but for those that open_image cannot read.

    What is wrong with these is added to `unreadable`.
    """
    for path in paths:
        try:
            open_image(path)
        except UserError as error:
            unreadable.append(str(error))
        else:
            yield path


def random_image(val_path: Path, class_indict: dict[str, str]) -> tuple[Path, str]:
    """An image of the validation set, drawn at random, and its class.

    Raises:
        UserError: the folder is of other classes than the net.
    """
    if not val_path.is_dir():
        raise UserError(f"no folder {val_path}: name an image, or --data-path with val/ in it")
    found = class_folders(val_path)
    names = list(class_indict.values())
    if set(found) != set(names):
        raise UserError(
            f"{val_path} has other classes ({', '.join(found[:5])}) than the weights "
            f"({', '.join(names[:5])}): name an image"
        )
    images = [(path, name) for name in found for path in find_images(val_path / name)]
    return random.choice(images)


# ---- batches and progress ----


def manual_seed(seed: int) -> None:
    """Seed the random numbers of torch, numpy and Python."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


class DataLoader(torch.utils.data.DataLoader):
    """torch's DataLoader, but for two things.

    Each batch has a random seed of its own, drawn where the batches are: what is drawn at random
    for it is the same however many workers load the batches, and after --resume.

    The workers live as long as the loader, since on Windows and macOS each start takes seconds.
    They work on a copy of the data set: a change that is made after the first epoch does not reach
    them, unless persistent_workers=False.

    Of its attributes, batch_size is None, dataset and batch_sampler are wrapped, and sampler is not
    the one that was given: keep your own name for that, to call its set_epoch.
    """

    def __init__(
        self,
        dataset: torch.utils.data.Dataset,
        batch_size: int = 1,
        shuffle: bool | None = None,
        sampler: Iterable | None = None,
        batch_sampler: Iterable | None = None,
        num_workers: int = 0,
        collate_fn: Callable | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        generator: torch.Generator | None = None,
        **options: object,
    ):
        batches = torch.utils.data.DataLoader(
            dataset,
            batch_size,
            shuffle,
            sampler,
            batch_sampler,
            drop_last=drop_last,
            generator=generator,
        ).batch_sampler
        if isinstance(dataset, torch.utils.data.IterableDataset):
            raise ValueError("an IterableDataset: only torch.utils.data.DataLoader itself takes it")
        if batches is None:
            raise ValueError("batch_size=None: only torch.utils.data.DataLoader itself takes it")
        options.setdefault("persistent_workers", num_workers > 0)
        super().__init__(
            SeededDataset(dataset, collate_fn or default_collate),
            batch_sampler=SeededBatches(batches),
            num_workers=num_workers,
            collate_fn=as_it_is,
            pin_memory=pin_memory,
            # each epoch takes a number from it, which would else be one of dropout's
            generator=torch.Generator(),
            **options,
        )


def as_it_is(batch: object) -> object:
    """A batch that has been collated."""
    return batch


class SeededBatches:
    """The batches of a batch sampler, lists of indices, each with a random seed before them."""

    def __init__(self, batches: Iterable[list[int]]):
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        # of their own: with workers, batches are drawn some steps ahead, and numbers shared with
        # the net's dropout would depend on --workers
        generator = torch.Generator().manual_seed(torch.randint(2**31, ()).item())
        for indices in list(self.batches):  # all at once: a sampler too may draw numbers
            yield [torch.randint(2**31, (), generator=generator).item(), *indices]


class SeededDataset:
    """A data set that is asked for what SeededBatches gives: a seed, and the indices of a batch."""

    def __init__(self, dataset: torch.utils.data.Dataset, collate_fn: Callable):
        self.dataset = dataset
        self.collate_fn = collate_fn

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> object:
        return self.dataset[index]

    def __getattr__(self, name: str) -> object:
        # asked for while it is unpickled; and how to pickle itself it does not learn from another
        if name == "dataset" or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __setattr__(self, name: str, value: object) -> None:
        if name in ("dataset", "collate_fn"):
            super().__setattr__(name, value)
        else:
            setattr(self.dataset, name, value)

    def __getitems__(self, batch: list[int]) -> object:
        seed, *indices = batch
        states = torch.get_rng_state(), np.random.get_state(), random.getstate()
        torch.default_generator.manual_seed(seed)  # the CPU's alone: images are drawn there
        np.random.seed(seed)
        random.seed(seed)
        try:
            if hasattr(self.dataset, "__getitems__"):
                items = self.dataset.__getitems__(indices)
            else:
                items = [self.dataset[index] for index in indices]
            return self.collate_fn(items)
        finally:
            torch.set_rng_state(states[0])
            np.random.set_state(states[1])
            random.setstate(states[2])


class ProgressBar:
    """Goes through a loader's batches and shows `text 42%[****->......] loss:1.234`.

    `loss` is set in the loop. On a terminal the bar is drawn again and again in one line, elsewhere
    every ten seconds. `waited` counts the seconds of waiting for batches.
    """

    def __init__(self, loader: Iterable, text: str):
        self.loader = loader
        self.text = text
        self.loss = 0.0
        self.waited = 0.0

    def __iter__(self) -> Iterator:
        # IDLE says that it is a terminal, and does not go back in a line
        live = sys.stdout.isatty() and "idlelib" not in sys.modules
        interval = 0.1 if live else 10  # seconds
        drawn = asked = time.monotonic()
        is_open = False  # the line of the bar
        for step, batch in enumerate(self.loader, start=1):
            self.waited += time.monotonic() - asked
            try:
                yield batch
            except GeneratorExit:  # the loop was left by a break
                if is_open:
                    print()
                raise
            asked = time.monotonic()
            is_last = step == len(self.loader)
            if not is_last and asked - drawn <= interval:
                continue
            drawn = asked
            bar = self.bar(step / len(self.loader), live)
            if not live:
                print(bar, flush=True)
            elif is_last:
                print(f"\r{bar} ", flush=True)
            else:
                print(f"\r{bar} ", end="", flush=True)
                is_open = True

    def bar(self, share: float, live: bool) -> str:
        """The line, which fits the terminal: a wrapped one would stay."""
        width = 50
        if live:
            width = max(1, min(50, shutil.get_terminal_size().columns - 45))
        stars = int(share * width)
        return (
            f"{self.text} {share:.0%}[{'*' * stars}->{'.' * (width - stars)}] loss:{self.loss:.3f}"
        )


# ---- saving ----


def save(content: object, path: str | Path) -> None:
    """Write text, a figure, or what torch.save takes. At every moment `path` is old or new, whole.

    Raises:
        UserError: it cannot be written.
    """
    path = Path(path).resolve()  # where a symbolic link points to
    part = path.with_name(f"{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            part.write_text(content, encoding="utf-8", errors="backslashreplace", newline="")
        elif hasattr(content, "savefig"):
            content.savefig(part, format=path.suffix[1:].lower())
        else:
            torch.save(content, part)
        rename(part, path)
    except (OSError, RuntimeError) as error:  # a RuntimeError is torch's
        with contextlib.suppress(OSError):
            part.unlink()  # now already: how much space is free without it may be the reason
        raise UserError(f"cannot write {path}: {why_not_written(error, content, path)}") from None
    except ValueError as error:  # matplotlib's: it does not know the ending
        raise UserError(f"cannot write {path}: {one_line(error)}") from None
    finally:
        with contextlib.suppress(OSError):  # it has been renamed, or never was there
            part.unlink()


def rename(part: Path, path: Path) -> None:
    """Put a file in the place of another."""
    for wait in (0.1, 0.4, 1.5):
        try:
            part.replace(path)
            return
        except PermissionError:  # Windows: a viewer or a virus scanner holds the old file open
            time.sleep(wait)
    part.replace(path)


def why_not_written(error: Exception, content: object, path: Path) -> str:
    """The reason in words: of a full disk, torch says "unexpected pos 64 vs 0"."""
    with contextlib.suppress(OSError):
        free = shutil.disk_usage(path.parent).free / 1e6
        needed = size_in_bytes(content) / 1e6
        torch_says_full = re.search("unexpected pos|iostream error|file write failed", str(error))
        if free < needed:
            return f"the disk is full: {needed:,.1f} MB are needed, and {free:,.1f} MB are free"
        if getattr(error, "errno", 0) == errno.ENOSPC:
            return f"the disk is full: {free:,.1f} MB are free"
        if torch_says_full:
            return f"{one_line(error)}: the disk is full, or a quota is reached"
    return one_line(error)


def size_in_bytes(content: object) -> int:
    """The size of the tensors in nested dicts, lists and tuples."""
    if isinstance(content, torch.Tensor):
        return content.numel() * content.element_size()
    if isinstance(content, dict):
        return sum(size_in_bytes(value) for value in content.values())
    if isinstance(content, list | tuple):
        return sum(size_in_bytes(value) for value in content)
    return 0


# ---- files of this and earlier runs ----


def begin_run(args: argparse.Namespace, save_path: str | Path, cla_dict: dict[int, str]) -> None:
    """Make the output folder ready: no weights ever meet the class names of another run.

    A new run's files take the place of an earlier run's, which are kept as AlexNet_previous.pth and
    so on; with --resume they are looked for.

    Raises:
        UserError: another run is at work in the folder, or there is nothing to resume.
    """
    save_path = Path(save_path)
    if args.resume:
        check_resume(save_path, cla_dict)  # before a folder is made
    claim_folder(save_path.parent)
    keep_class_names(save_path, cla_dict)
    if not args.resume:
        keep_previous(save_path)


def claim_folder(folder: Path) -> None:
    """Keep a second run out of the folder until run() ends, or the process.

    Raises:
        UserError: another process has the folder, or it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".train.lock").open("a", encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"cannot write to {folder} ({one_line(error)}): --output-dir names another folder"
        ) from None
    LOCKS.append(lock)
    try:
        if sys.platform == "win32":
            msvcrt.locking(lock.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):  # others: a network drive has no locks
            raise UserError(
                f"another run is at work in {folder}: --output-dir names another folder"
            ) from None


def check_resume(save_path: Path, cla_dict: dict[int, str]) -> None:
    """A UserError if the files that --resume needs are not there, or are of other classes."""
    last_path = save_path.with_stem(f"{save_path.stem}_last")
    if not last_path.exists():
        raise UserError(f"there is no {last_path} to resume: start without --resume")
    if not save_path.exists():
        raise UserError(
            f"--resume needs {save_path}, the best weights so far, and it is gone: "
            "put it back, or start without --resume"
        )
    if read_classes(save_path) != {str(index): name for index, name in cla_dict.items()}:
        raise UserError(
            f"the run to resume has other classes ({class_file_of(save_path)}) than the data set: "
            "--output-dir names another folder"
        )


def keep_previous(save_path: Path) -> None:
    """Rename an earlier run's AlexNet.pth to AlexNet_previous.pth, and so on."""
    last = save_path.with_stem(f"{save_path.stem}_last")
    files = [last, save_path]  # the first needs the second, and so goes first
    for what in ("results", "mistakes", "confusion"):
        files.append(save_path.with_name(f"{save_path.stem}_{what}.png"))
    kept = {path: path.with_stem(f"{path.stem}_previous") for path in files}
    if any(path.exists() for path in files):
        print(f"an earlier run's files are kept as {kept[save_path].name} and so on")
    if last.exists():  # this run is whole: what was kept before belongs to another
        for path in kept.values():
            discard(path)
    elif save_path.exists() and is_older(kept[last], save_path):
        # save_path is of a run killed in its first epoch, and _last_previous of the run before it;
        # a newer _last_previous belongs to save_path: this function was interrupted
        discard(kept[last])
    for path in files:
        if path.exists():
            discard(kept[path])
            move(path, kept[path])


def discard(path: Path) -> None:
    """Delete an earlier run's file, if it is there, and the class file that is its own."""
    if path.exists():
        own = own_class_file(path)
        path.unlink()
        if own:
            own.unlink()


def move(path: Path, target: Path) -> None:
    """Rename a file; the class file that is its own is renamed too."""
    own = own_class_file(path)
    if own:  # copied, so that under either name it has one at every moment
        text = own.read_text(encoding="utf-8-sig", errors="backslashreplace")
        save(text, name_of_own_class_file(target, fingerprint(path)))
    path.replace(target)
    if own:
        own.unlink()


def is_older(path: Path, other: Path) -> bool:
    """Whether both files are there, and the first was written before the other."""
    if not path.exists() or not other.exists():
        return False
    return path.stat().st_mtime_ns < other.stat().st_mtime_ns


def keep_class_names(save_path: Path, cla_dict: dict[int, str]) -> None:
    """Before class_indices.json changes, give every weights file in the folder a file of its own.

    It is called class_indices_AlexNet_cats.pth_3f2a91bc.json, the last digits being a fingerprint
    of the weights, so that it is found for them under another name as well.
    """
    folder, common = save_path.parent, save_path.with_name("class_indices.json")
    text = ""
    changes = True
    if common.exists():
        text = common.read_text(encoding="utf-8-sig", errors="backslashreplace")
        with contextlib.suppress(UserError):  # it cannot be read: it is kept as it is
            names = {str(index): name for index, name in cla_dict.items()}
            changes = parse_classes(common) != names
    if not changes and not any(folder.glob("class_indices_*.json")):
        return
    for weights in sorted(folder.iterdir()):
        if not is_weights(weights) or own_class_file(weights):
            continue
        try:
            source = class_file_of(weights)
        except UserError:  # they have two already, between which predict.py will not choose
            continue
        if source != common:  # these weights have been renamed
            text_of_its_own = source.read_text(encoding="utf-8-sig", errors="backslashreplace")
        elif common.exists() and changes:
            text_of_its_own = text
        elif not common.exists() and any(folder.glob("*_last.pth")):
            # of a run whose classes nobody knows: better none than this run's
            text_of_its_own = "{}"
        else:
            continue
        save(text_of_its_own, name_of_own_class_file(weights, fingerprint(weights)))


def is_weights(path: Path) -> bool:
    """Whether a file is called like weights, or begins as torch.save's do.

    ImageNet's are none, which pretrained.py fetches.
    """
    # to open and close .train.lock would give up its lock
    if path.name.startswith(".") or not path.is_file():
        return False
    if re.fullmatch(r"resnex?t\d+\w*-pre", path.stem):
        return False
    if path.name.lower().endswith((".pth", ".pt", ".bin", ".ckpt", ".pth.tar")):
        return True
    with path.open("rb") as file:
        return file.read(2) == b"PK" and path.suffix.lower() != ".zip"


def fingerprint(path: Path) -> str:
    """The first digits of a file's SHA-256."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()[:8]


def name_of_own_class_file(weights: Path, digits: str) -> Path:
    """Where the classes of one weights file alone are kept; `digits`: its fingerprint."""
    return weights.with_name(f"class_indices_{weights.name}_{digits}.json")


def kept_class_files(weights: Path) -> dict[str, Path]:
    """Class files that were kept for weights of this content, by the name the weights had then."""
    if not weights.is_file() or not any(weights.parent.glob("class_indices_*.json")):
        return {}
    end = f"_{fingerprint(weights)}.json"
    found = {}
    for path in sorted(weights.parent.glob(f"class_indices_*{end}")):
        found[path.name.removeprefix("class_indices_").removesuffix(end)] = path
    return found


def own_class_file(weights: Path) -> Path | None:
    """The class file that was kept for these weights under this name, if there is one."""
    return kept_class_files(weights).get(weights.name)


def class_file_of(weights: Path) -> Path:
    """The file with the names of the classes of a net's weights, which may have been renamed.

    Raises:
        UserError: there are two, and nothing says which it is.
    """
    weights = weights.resolve()  # a link's classes lie where it points to
    kept = kept_class_files(weights)
    if weights.name in kept:
        return kept[weights.name]
    for name, path in kept.items():
        if not own_class_file(weights.with_name(name)):
            return path  # the weights that it was kept for have been renamed
    common = weights.with_name("class_indices.json")
    for name, path in kept.items():
        # a copy of them; or equal to the last bit, since only the names of the classes were changed
        if not common.exists():
            return path
        if parse_classes(path) != parse_classes(common):
            own = name_of_own_class_file(weights, fingerprint(weights))
            raise UserError(
                f"{weights} equals {name}, and {path.name} and {common.name} name other classes: "
                f"copy the one that is right to {own.name}"
            )
    return common


def parse_classes(path: Path) -> dict[str, str]:
    """Read a file of class names: {"0": "daisy", ...}."""
    wrong = f'{path} should hold {{"0": "daisy", "1": ...}}, saved as UTF-8'
    try:
        text = path.read_text(encoding="utf-8-sig")  # sig: as some editors write it
        content = json.loads(text, object_pairs_hook=list)  # a dict would hide a key used twice
    except FileNotFoundError:
        raise UserError(f"there is no {path}, which train.py writes") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{wrong}: {one_line(error)}") from None
    if not isinstance(content, list) or not all(isinstance(pair, tuple) for pair in content):
        raise UserError(wrong)
    class_indict = dict(content)
    if len(class_indict) < len(content):
        raise UserError(f"{wrong}: a number stands in it twice")
    if not class_indict:
        raise UserError(wrong)
    for index in range(len(class_indict)):
        name = class_indict.get(str(index))
        if not isinstance(name, str) or not name:
            raise UserError(f"{wrong}: {index} has no name")
    return {str(index): class_indict[str(index)] for index in range(len(class_indict))}


def read_classes(weights: str | Path) -> dict[str, str]:
    """The class names that belong to a weights file: {"0": "daisy", ...}.

    Raises:
        UserError: there are none.
    """
    weights = Path(weights)
    if not weights.exists():
        raise UserError(f"there is no {weights}{how_to_get_weights(weights)}")
    return parse_classes(class_file_of(weights))


# ---- reading weights ----


def how_to_get_weights(path: Path) -> str:
    """What to do where a weights file is missing: another that is there, or the command."""
    advice = ""
    is_typed = any(word.rstrip("/\\").endswith(path.name) for word in sys.argv)
    if is_typed or not typed_options("--model-name"):  # else another file is of another net
        for other in sorted(path.parent.glob("*.pth")):
            if not other.stem.endswith(("_last", "_last_previous", "-pre")):
                advice = f"; there is {other}, which --weights can name if it is of this net"
                break
    if not is_typed:
        advice += f": {next_command('train.py')} makes it"
    return advice


def read_file(path: str | Path) -> dict:
    """What torch.save has written, on the CPU. Code in the file is not run.

    Raises:
        UserError: it is something else.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"there is no {path}{how_to_get_weights(path)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about TorchScript
            return dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # garbage makes the unpickler fail in any way
        if isinstance(error, PermissionError) or limit_of_the_machine(error):
            raise  # the file may well be sound
        what = what_is_in(path, error)
        raise UserError(
            f"{path} is not what torch.save(net.state_dict(), ...) writes: {what}"
        ) from None


def what_is_in(path: Path, error: Exception) -> str:
    """What stands in a file that torch.load has refused."""
    found = re.search(r"GLOBAL \S+|TorchScript", str(error))
    if found:
        return f"it holds {found[0]}"
    if path.is_dir():
        return "it is a folder"
    with path.open("rb") as file:
        start = file.read(24)
    if start.startswith(b"PK"):  # as torch.save begins, too
        return f"it is damaged, or not all of it is there ({one_line(error)})"
    return f"it begins with {start}"


def read_weights(path: str | Path) -> dict[str, torch.Tensor]:
    """torch.load for a net's state_dict, on the CPU, careful with what other programs write.

    The weights may lie in a checkpoint beside other things, and their names may have a wrapper's
    `module.` before them.

    Raises:
        UserError: the file is something else, or a weight is not finite.
    """
    content = read_file(path)
    if isinstance(content.get("state"), dict):  # a checkpoint of train.py's
        content = content["state"]
    inside = {name: value for name, value in content.items() if is_state_dict(value)}
    if len(inside) > 1:
        raise UserError(f"{path} holds several nets: {', '.join(map(str, inside))}")
    if inside:
        content = next(iter(inside.values()))
    weights = {}
    for name, value in content.items():
        if not isinstance(value, torch.Tensor) or name == "n_averaged":
            continue  # such as the number of epochs; a weight that is missing is found in loading
        name = str(name)
        while name.startswith(("module.", "_orig_mod.")):  # DataParallel's, torch.compile's
            name = name.split(".", 1)[1]
        if value.layout != torch.strided or value.is_quantized:
            raise UserError(f"{path} holds {name} in another form than plain numbers")
        if name.endswith(("weight", "bias", "running_mean", "running_var")):
            if not value.is_floating_point():
                raise UserError(f"{path} holds {name} as {value.dtype}, not in floating point")
            if not value.isfinite().all():
                raise UserError(f"{path} holds numbers in {name} that are not finite")
        weights[name] = value
    if not weights:
        raise UserError(f"{path} holds no weights")
    return weights


def is_state_dict(value: object) -> bool:
    """Whether it is a dict of tensors."""
    if not isinstance(value, dict) or not value:
        return False
    return all(isinstance(tensor, torch.Tensor) for tensor in value.values())


def does_not_fit(path: Path, error: RuntimeError, class_indict: dict | None = None) -> str:
    """PyTorch's error in loading a state_dict, as one line with the first name that differs."""
    text = str(error)
    net = re.search(r"loading state_dict for (\w+)", text)[1]
    missing = re.search(r'Missing key\(s\) in state_dict: "(.*?)"', text)
    unexpected = re.search(r'Unexpected key\(s\) in state_dict: "(.*?)"', text)
    shape = re.search(
        r"size mismatch for (\S+): copying a param with shape torch.Size\((.*?)\) from checkpoint, "
        r"the shape in current model is torch.Size\((.*?)\)",
        text,
    )
    if missing:
        found = f"{missing[1]} is not in it"
    elif unexpected:
        found = f"{unexpected[1]} is not in the net"
    elif shape:
        found = f"{shape[1]} is {shape[2]} in it, and {shape[3]} in the net"
        if class_indict and json.loads(shape[3])[0] == len(class_indict):  # the last layer
            found += f", since {class_file_of(path).name} names {len(class_indict)} classes"
    else:
        found = text.splitlines()[-1].strip()
    return f"{path} is not of this {net}: {found}"


# ---- scores ----


def true_classes(paths: list[Path], folder: Path, names: list[str]) -> list[str]:
    """The class that each image's folder names, where the folders in `folder` are classes.

    An empty list if none is a class; if only some are, a line names what does not fit.
    """
    found = []
    for path in paths:
        parts = path.relative_to(folder).parts
        found.append(parts[0] if len(parts) > 1 else "")
    if not set(found) & set(names):
        folders = sorted(set(found) - {""})
        if folders and folder.name not in names:
            print(f"no accuracy: {folder} holds no folder of a class of the net, but {folders[0]}")
        return []
    for path, name in zip(paths, found, strict=True):
        if name not in names:
            what = f"{name} is no class" if name else f"{path.name} lies in no class folder"
            print(f"no accuracy: {what}; the net's classes are {', '.join(names[:20])}")
            return []
    return found


def confusion_matrix(
    labels: torch.Tensor, predicted: torch.Tensor, num_classes: int
) -> torch.Tensor:
    """The number of images of each true class (row) and predicted class (column).

    Args:
        labels: true classes [N]
        predicted: predicted classes [N]

    Returns:
        [num_classes, num_classes]
    """
    places = labels.long() * num_classes + predicted  # row by row
    return torch.bincount(places, minlength=num_classes**2).view(num_classes, num_classes)


def print_scores(confusion: torch.Tensor, names: list[str]) -> None:
    """Print each class's precision, recall and F1, nan where nothing is counted, and the accuracy.

    Args:
        confusion: number of images [true class, predicted class]
    """
    right = confusion.diag()
    of_predicted, of_class = confusion.sum(dim=0), confusion.sum(dim=1)
    precision, recall = right / of_predicted, right / of_class
    f1 = 2 * right / (of_predicted + of_class)  # 2 * precision * recall / (precision + recall)
    for i, name in enumerate(names):
        print(
            f"class: {name:12} precision: {precision[i]:.3f}  recall: {recall[i]:.3f}  "
            f"F1: {f1[i]:.3f}"
        )
    images = int(confusion.sum())
    print(f"accuracy: {right.sum() / images:.3f} of {images} images")


def print_scores_of_folders(
    folders: list[Path], predicted: dict[Path, int], names: list[str]
) -> None:
    """Print the scores of each folder that holds one folder per class of the net: a test set."""
    # without "..", which hides in which folder an image lies
    predicted = {Path(os.path.normpath(path.absolute())): cla for path, cla in predicted.items()}
    for folder in dict.fromkeys(Path(os.path.normpath(folder.absolute())) for folder in folders):
        paths = [path for path in predicted if folder in path.parents]
        true_names = true_classes(paths, folder, names)
        if true_names:
            labels = torch.tensor([names.index(name) for name in true_names])
            classes = torch.tensor([predicted[path] for path in paths])
            print_scores(confusion_matrix(labels, classes, len(names)), names)


# ---- going on later ----


def save_checkpoint(
    path: Path, args: argparse.Namespace, *, history: list[dict], **parts: object
) -> None:
    """Save all that --resume needs: the options, the history, and each part, such as net=net.

    Of a net, an optimizer or a scheduler the state is saved, of everything else the value.
    """
    state, values = {}, {"history": plain_value(history)}
    for name, part in parts.items():
        if not hasattr(part, "state_dict"):
            values[name] = plain_value(part)
            continue
        is_optimizer = isinstance(part, torch.optim.Optimizer)
        if is_optimizer:
            for group in part.param_groups:
                group.setdefault("first_lr", group.get("initial_lr", group["lr"]))
        content = part.state_dict()
        if is_optimizer:
            content = {**content, "default_lr": part.defaults["lr"]}
        state[name] = without_numpy(content)
    kinds = {name: type(parts[name]).__name__ for name in state}
    save({"options": options_of(args), "kinds": kinds, "state": state, **values}, path)


def without_numpy(value: object) -> object:
    """Python's numbers and lists for numpy's, which torch.load refuses; tensors stay."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if type(value) in (dict, Counter):  # not the OrderedDict of a net
        items = {without_numpy(key): without_numpy(inner) for key, inner in value.items()}
        return type(value)(items)
    if type(value) in (list, tuple):
        return type(value)(without_numpy(inner) for inner in value)
    return value


def plain_value(value: object) -> object:
    """The value in numbers, texts, lists and dicts, which torch.load takes without running code.

    Raises:
        UserError: it is something else.
    """
    if hasattr(value, "tolist"):  # a tensor, or numpy's
        return value.tolist()
    if isinstance(value, dict):
        return {key: plain_value(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain_value(inner) for inner in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise UserError(f"save_checkpoint cannot save a {type(value).__name__} without a state_dict")


def options_of(args: argparse.Namespace) -> dict[str, object]:
    """The options of a run, as they are saved."""
    options = {}
    for name, value in vars(args).items():
        is_plain = value is None or isinstance(value, bool | int | float | str)
        options[name] = value if is_plain else str(value)
    return options


def load_checkpoint(path: Path, args: argparse.Namespace, **parts: object) -> dict:
    """Bring each part back to where save_checkpoint left it, and return the values saved beside.

    See restore for what comes from the file and what from train.py.
    """
    saved = read_file(path)
    print(restore(saved, path, args, **parts))
    del saved["state"]  # which is as large as the net and the optimizer
    return saved


def restore(saved: dict, path: Path, args: argparse.Namespace, **parts: object) -> str:
    """Bring each part back to the state in `saved`, which was read from `path`.

    What was learned and counted is the file's: weights, Adam's means, the best epoch. What stands
    in train.py and on the command line is taken as it is now: learning rates, weight decay, a
    scheduler's settings. Options that differ from the run's are named.

    A scheduler is stepped as often as it had been, so the learning rate is that of a run that had
    these settings all along. ReduceLROnPlateau goes on with what it had counted. A learning rate
    that was lowered by it, or by hand after the first epoch, stays lowered by the same factor.

    Returns:
        what was resumed, to be printed, with the learning rate of each parameter group

    Raises:
        UserError: a part does not fit the file.
    """
    if not {"options", "kinds", "state", "history"} <= saved.keys():
        raise UserError(f"{path} was not written by this train.py: start without --resume")
    changed = changed_options(saved["options"], args)
    kinds = {name: type(part).__name__ for name, part in parts.items()}
    if saved["kinds"] != kinds:
        raise UserError(
            f"{path} was saved with {in_words(saved['kinds'])}, and train.py has "
            f"{in_words(kinds)}: start without --resume"
        )
    schedulers = {name: part for name, part in parts.items() if isinstance(part, LRScheduler)}
    optimizers = [part for part in parts.values() if isinstance(part, torch.optim.Optimizer)]
    for optimizer in optimizers:
        has_its_own = any(part.optimizer is optimizer for part in schedulers.values())
        if not has_its_own and "initial_lr" in optimizer.param_groups[0]:  # a scheduler's mark
            raise UserError(
                "the scheduler is not resumed: "
                "save_checkpoint and load_checkpoint need scheduler=scheduler"
            )
    rates_reached = {}
    for name, part in parts.items():
        try:
            if isinstance(part, torch.optim.Optimizer):
                rates_reached[part] = [
                    group["lr"] for group in saved["state"][name]["param_groups"]
                ]
                load_optimizer(part, saved["state"][name])
            elif name not in schedulers:
                part.load_state_dict(saved["state"][name])
        except RuntimeError as error:
            if not str(error).startswith("Error(s) in loading state_dict"):
                raise  # such as a GPU's memory that is full: run() says what helps
            raise UserError(does_not_fit(path, error) + changed) from None
        except ValueError as error:  # torch's, on parameter groups, or load_optimizer's
            raise UserError(
                f"the {name} in {path} does not fit train.py's ({one_line(error)}): "
                f"start without --resume{changed}"
            ) from None
    epochs = len(saved["history"])
    was, now = saved["options"].get("batch_size"), getattr(args, "batch_size", None)
    for name in schedulers:
        if saved["state"][name].get("last_epoch", 0) > epochs and was != now:
            raise UserError(
                f"{name} has been stepped in every batch, and another --batch-size makes another "
                f"number of them: give --batch-size {was}, or start without --resume"
            )
    notes = load_schedulers(schedulers, saved["state"], rates_reached, epochs)
    rates = []
    for optimizer in optimizers:
        for group, reached in zip(optimizer.param_groups, rates_reached[optimizer], strict=True):
            rates.append(str(group["lr"]))
            if not math.isclose(group["lr"], reached):
                rates[-1] += f" (was {reached})"
            if group["lr"] != group["first_lr"] and not schedulers:
                rates[-1] += (
                    f" (the run began with {group['first_lr']}; if a scheduler changed it, "
                    "save_checkpoint and load_checkpoint need scheduler=scheduler)"
                )
    done = "; all --epochs are done" if epochs >= getattr(args, "epochs", epochs + 1) else ""
    line = f"resumed {path} after epoch {epochs}, lr {', '.join(rates)}{changed}{done}"
    return "\n".join([*notes, line])


def changed_options(before: dict, args: argparse.Namespace) -> str:
    """The options that are not what they were when the run began, in words."""
    changed = []
    for name, value in options_of(args).items():
        if name in ("resume", "output_dir", "weights"):  # these matter at the start alone
            continue
        if name in before and before[name] != value:
            option = f"--{name.replace('_', '-')}"
            if value is False:
                changed.append(f"no {option}")
            elif value is True:
                changed.append(f"{option} (it had not)")
            else:
                changed.append(f"{option} {value} (was {before[name]})")
    return f"; options that differ from now on: {', '.join(changed)}" if changed else ""


def in_words(kinds: dict[str, str]) -> str:
    """The parts of a run and their classes: net AlexNet, optimizer Adam."""
    return ", ".join(f"{name} {kind}" for name, kind in kinds.items())


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict) -> None:
    """Load what an optimizer has learned; its settings stay train.py's.

    A learning rate that the run had lowered since it began is lowered by the same factor.

    Raises:
        ValueError: the file has other parameter groups, or lacks what a setting needs.
    """
    groups, saved_groups = [], state["param_groups"]
    if len(saved_groups) != len(optimizer.param_groups):
        raise ValueError(
            f"{len(saved_groups)} parameter groups in it, {len(optimizer.param_groups)} in train.py"
        )
    for now, saved in zip(optimizer.param_groups, saved_groups, strict=True):
        for setting in ("momentum", "amsgrad", "centered"):
            if now.get(setting) and not saved.get(setting):
                raise ValueError(f"{setting} needs what the file does not hold")
        settings = {name: value for name, value in now.items() if name != "params"}
        settings["first_lr"] = now.get("initial_lr", now["lr"])
        settings["lr"] = rate_to_go_on_with(now, saved, optimizer.defaults["lr"], state)
        groups.append({**saved, **settings})
    optimizer.load_state_dict({**state, "param_groups": groups})
    # fused optimizers do not check that their state has the weights' memory layout, channels_last
    for weight, values in optimizer.state.items():
        for name, value in values.items():
            if isinstance(value, torch.Tensor) and value.shape == weight.shape:
                values[name] = torch.empty_like(weight, dtype=value.dtype).copy_(value)


def rate_to_go_on_with(now: dict, saved: dict, default: float, state: dict) -> float:
    """The learning rate of a parameter group: train.py's, as much lower as the run's had become.

    Args:
        now, saved: the group in train.py and in the file
        default: the optimizer's own rate in train.py; in the file it is in `state`
    """
    reached, began = saved["lr"], saved["first_lr"]
    if now["lr"] == default and reached != began:
        # first_lr was noted at the first save; if the rate has changed since, it began with this
        began = state["default_lr"]
    if now["lr"] == began:
        return reached  # to the last digit
    if reached == began:
        return now["lr"]
    return now["lr"] * (reached / began)


def load_schedulers(
    schedulers: dict[str, LRScheduler], states: dict, rates: dict, epochs: int
) -> list[str]:
    """Bring schedulers to where they were after that number of epochs; see restore.

    Args:
        states: of the schedulers, by their names
        rates: that each optimizer's groups had reached

    Returns:
        lines on what a learner should know
    """
    if not schedulers:
        return []
    states = {name: states[name] for name in schedulers}
    if can_be_stepped_again(states):
        return step_again(schedulers, states, epochs)
    for name, scheduler in schedulers.items():
        refuse_other_settings(name, scheduler, states[name])
        scheduler.load_state_dict(states[name])
        groups = scheduler.optimizer.param_groups
        for group, lr in zip(groups, rates[scheduler.optimizer], strict=True):
            group["lr"] = lr
    return [f"{' and '.join(schedulers)} go on as they were: another --lr does not count"]


def refuse_other_settings(name: str, scheduler: LRScheduler, state: dict) -> None:
    """A UserError if a scheduler that cannot be stepped again would lose train.py's settings."""
    now = scheduler.state_dict()
    for setting in SCHEDULE:
        if setting in state and now.get(setting) != state[setting]:
            raise UserError(
                f"{name} has another {setting}, {now.get(setting)} (was {state[setting]}), and "
                "beside another scheduler it cannot be computed anew: give the old one, "
                "or start without --resume"
            )


def can_be_stepped_again(states: dict) -> bool:
    """Whether schedulers were stepped together, in whole steps, and by no loss."""
    counts = set()
    for state in states.values():
        if "last_epoch" in state and "num_bad_epochs" not in state:
            counts.add(state["last_epoch"])
        if state.get("T_cur", 0) != int(state.get("T_cur", 0)):  # scheduler.step(epoch + i / steps)
            return False
    has_plateau = any("num_bad_epochs" in state for state in states.values())
    return len(counts) <= 1 and not (has_plateau and counts)


def step_again(schedulers: dict[str, LRScheduler], states: dict, epochs: int) -> list[str]:
    """Step schedulers, with the settings that they have now, as often as they had been stepped."""
    notes = []
    steps = {}
    for name, scheduler in schedulers.items():
        count = states[name].get("last_epoch")
        if count is None:  # a ChainedScheduler
            count = states[name]["_schedulers"][0]["last_epoch"]
        groups = scheduler.optimizer.param_groups
        if isinstance(scheduler, ReduceLROnPlateau):
            if count < epochs:
                notes.append(
                    f"{name}.step() of epoch {epochs} is lost: it belongs above save_checkpoint"
                )
            counted = ("best", "num_bad_epochs", "cooldown_counter", "last_epoch")
            state = {key: states[name][key] for key in counted}
            state["_last_lr"] = [group["lr"] for group in groups]
            scheduler.load_state_dict(state)
            continue
        if count == epochs - 1:
            notes.append(
                f"{name} had made {count} steps in {epochs} epochs: one more is made now, "
                "as if its step() stood below save_checkpoint"
            )
            count = epochs
        steps[name] = count
        for group, lr in zip(groups, scheduler.get_last_lr(), strict=True):
            group["lr"] = lr  # as before the first epoch
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the optimizer has not been stepped before
        for step in range(max(steps.values(), default=0)):
            for name, count in steps.items():
                try:
                    if step < count:
                        schedulers[name].step()
                except ValueError as error:  # such as OneCycleLR's, beyond its last step
                    raise UserError(
                        f"{name} cannot make {count} steps: {one_line(error)}"
                    ) from None
    return notes
