"""Split the flower photos into a training and a validation set, one photo in ten for validation.

python split_data.py                    # flower_data/flower_photos -> flower_data/train and /val
python split_data.py --download         # fetch the official photos (229 MB) first
python split_data.py --demo             # draw a demo set instead: no network needed
python split_data.py --test             # a test set too: another photo in ten, in flower_data/test
python split_data.py --check flower_data              # list every image that cannot be read
python split_data.py --photos my_pictures --data-path my_data    # my_pictures/<class>/*.jpg
"""

import argparse
import contextlib
import hashlib
import http.client
import os
import random
import re
import shlex
import shutil
import sys
import tarfile
import tempfile
import urllib.request
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator
from os.path import lexists  # also true of a symbolic link to nothing
from pathlib import Path, PurePosixPath
from typing import IO

from PIL import Image

from demo_flowers import draw_demo_set

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

HERE = Path(__file__).resolve().parent
DATA_PATH = HERE / "flower_data"
PARTS = {"train": "training", "val": "validation", "test": "testing"}
VAL_RATE = 0.1  # of the photos of each class; as many go to test/

URL = "https://storage.googleapis.com/download.tensorflow.org/example_images/flower_photos.tgz"
ARCHIVE = "flower_photos.tgz"
MD5 = "6f87fb78e9cc9ab41eff2015b380011d"
ARCHIVE_BYTES = 228_813_984
TIMEOUT = 60  # seconds without a byte after which a download ends

# What counts as an image is the same in the lesson folders. Pillow opens .mpo as a JPEG, so that
# OPEN does not list it.
ENDINGS = {
    ending
    for ending, kind in Image.registered_extensions().items()
    if kind in Image.OPEN or kind == "MPO"
}
HIDDEN = re.compile(
    r"(^|/)(\.|(__MACOSX|@eaDir|\$RECYCLE\.BIN|System Volume Information)(/|$))", re.IGNORECASE
)
# Pillow refuses twice as many pixels; its own limit is below what phones take
Image.MAX_IMAGE_PIXELS = 2**28

# folders that are called so, in any case, are no classes but the parts of a split
PART_NAMES = {"train", "training", "val", "valid", "validation", "test", "testing"}
PART_OF_A_NAME = re.compile(
    r"(.*[ _-])?"
    r"(train|training|val|valid|validation|test|testing|dev|eval|pred"
    r"|训练集?|验证集?|测试集?)"
    r"(set|\d*|[ _-].*)"
)


class SplitError(Exception):
    """Something the user can put right. The message is one line: what is wrong, and what to do."""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Split photos into train/ and val/, 10 % of each class to val/."
    )
    parser.add_argument(
        "--data-path",
        type=Path,
        default=DATA_PATH,
        help="where train/ and val/ go (default: %(default)s)",
    )
    parser.add_argument(
        "--test",
        action="store_true",
        help="put another 10 %% of each class into test/, and train on what is left",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace train/ and val/ where they exist, and with --test also test/",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="another seed, another split (default: %(default)s)"
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--photos",
        type=Path,
        help="one subfolder of photos per class (default: flower_photos in --data-path)",
    )
    source.add_argument(
        "--download", action="store_true", help="fetch the official flower photos first (229 MB)"
    )
    source.add_argument(
        "--demo", action="store_true", help="draw a demo set and split that: needs no network"
    )
    source.add_argument(
        "--check",
        type=Path,
        metavar="PATH",
        help="only list the images in PATH that cannot be read",
    )
    return parser.parse_args()


def parts_of(with_test: bool) -> list[str]:
    """The folders that a run makes."""
    return ["train", "val", "test"] if with_test else ["train", "val"]


def command(args: argparse.Namespace, source: str) -> str:
    """What to type, from the folder the user stands in, to run this again with another source."""
    words = ["python", from_here(Path(__file__).resolve()), source]
    if args.data_path != DATA_PATH:
        words += ["--data-path", str(args.data_path)]
    if args.seed != 0:
        words += ["--seed", str(args.seed)]
    if args.test:
        words.append("--test")
    if args.overwrite:
        words.append("--overwrite")
    return " ".join(quoted(word) for word in words)


def from_here(path: Path) -> str:
    """A path as it must be typed in the folder the user stands in."""
    try:
        return os.path.relpath(path)
    except (ValueError, OSError):  # the user stands on another drive, or in a deleted folder
        return str(path)


def next_command() -> str:
    """What to type to train: the train.py of the lesson the user stands in, or else the first's."""
    lessons = [from_here(path) for path in sorted(HERE.parent.glob("Test[2-9]_*/train.py"))]
    if "train.py" in lessons or not lessons:
        return "python train.py"
    return f"python {quoted(lessons[0])}, or another lesson's"


def quoted(word: object) -> str:
    """A word of a command as shells take it."""
    word = str(word)
    if re.fullmatch(r"[\w./\\:=+,@-]+", word):
        return word
    if re.search(r'[$`"!]', word):  # bash would put something else for them
        return shlex.quote(word)
    return f'"{word}"'


def listed(names: list[str]) -> str:
    """`a`, `a and b`, or `a, b and c`."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def class_folders(folder: Path) -> list[Path]:
    """The folders in `folder`, by name, without hidden and system folders."""
    folders = [path for path in folder.glob("*") if path.is_dir() and not HIDDEN.search(path.name)]
    return sorted(folders, key=lambda path: path.name)


def loose_images(folder: Path) -> list[str]:
    """The names of the image files that lie in `folder` itself."""
    files = [path for path in folder.glob("*") if path.is_file() and not HIDDEN.search(path.name)]
    return sorted(path.name for path in files if path.suffix.lower() in ENDINGS)


def find_images(folder: Path) -> list[Path]:
    """The files in `folder` and its subfolders that have an image's ending, by name.

    Their order is the same on every machine. Hidden and system folders are passed over, and the
    other files counted and named.
    """
    names = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if HIDDEN.search(name):
            continue
        if not path.is_dir():
            names[path] = name
        elif path.is_symlink():
            print(f"left out of {folder}: {name}, a link to another folder")
    images = []
    others: dict[str, list[str]] = {}
    for path in sorted(names, key=names.get):
        ending = path.suffix.lower()
        if ending in ENDINGS:
            images.append(path)
        else:
            others.setdefault(ending or "other", []).append(names[path])
    for ending, left_out in others.items():
        what = f"{len(left_out)} {ending} files that Pillow cannot open"
        print(f"left out of {folder}: {what}, such as {left_out[0]}")
    return images


def can_be_read(path: Path) -> bool:
    """Whether train.py will be able to read the image. If not, a line says why."""
    try:
        if not path.is_file():  # opening a FIFO would wait for ever
            raise ValueError("not a file, or a link to nothing")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about large photos and odd EXIF entries
            with Image.open(path) as image:
                if image.format not in ("JPEG", "MPO") and image.width * image.height > 178_956_970:
                    raise ValueError("more than 178,956,970 pixels")
                image.draft(None, (800, 800))  # a large JPEG is decoded at a fraction of its size
                # only pixels count: where the EXIF is damaged, train.py does without it
                image.load()
                if image.mode == "F" or (image.mode == "I" and image.getextrema()[1] > 65535):
                    raise ValueError("32 bits per channel, not 8 or 16")
    except Exception as error:  # garbage makes Pillow's decoders fail in any way
        print(f"cannot be read: {path} ({error!r})")
        return False
    return True


def check(folder: Path) -> None:
    """Read all images in `folder`.

    Raises SplitError if there is no such folder, it holds no images, or some cannot be read.
    """
    if not folder.is_dir():
        raise SplitError(f"there is no folder {folder}")
    images = find_images(folder)
    if not images:
        raise SplitError(f"no images in {folder}")
    print(f"reading {len(images)} images ...")
    readable = 0
    for path in images:
        if can_be_read(path):
            readable += 1
    unreadable = len(images) - readable
    if unreadable > 0:
        raise SplitError(f"{unreadable} of {len(images)} images in {folder} cannot be read")
    print(f"all {readable} images in {folder} can be read")


def check_folders(photos: Path) -> None:
    """Raise SplitError if the folders in `photos` cannot be its classes.

    They are parts where the photos are split already, and there is only one where an archive was
    unpacked a level too deep.
    """
    inner = photos
    folders = class_folders(photos)
    while len(folders) == 1 and not loose_images(folders[0]):
        inner = folders[0]
        folders = class_folders(inner)
    for folder in folders:  # images/train and images/val, beside labels/train and labels/val
        if len(PART_NAMES & {part.name.lower() for part in class_folders(folder)}) > 1:
            inner = folder
            folders = class_folders(folder)
            break
    called_so = [folder for folder in folders if PART_OF_A_NAME.fullmatch(folder.name.lower())]
    with_folders = [folder for folder in called_so if class_folders(folder)]
    # training_set/ and test_set/; one alone could be a class: steam_train/
    if len(called_so) == len(folders) or len(with_folders) > 1:
        parts = called_so
    else:
        parts = [folder for folder in folders if folder.name.lower() in PART_NAMES]
    parts.sort(key=lambda part: not re.search("train|训练", part.name.lower()))  # it comes first
    divided = [part for part in parts if class_folders(part)]
    names = listed([f"{part.name}/" for part in parts])
    # train/ with photos of its own, and a folder besides, may be a class: trains
    is_part = any(not loose_images(part) for part in divided)
    if divided and (len(parts) > 1 or is_part):
        raise SplitError(
            f"{inner} is split already, into {names}. To split one part, give --photos "
            f"{quoted(divided[0])}; where the parts are called train and val, train.py takes them "
            f"as they are, with --data-path {quoted(inner)}"
        )
    if len(parts) > 1 and len(parts) == len(folders):
        raise SplitError(
            f"{inner} is split already, into {names}, and they hold no folder for each class: "
            f"put the photos of each class into a folder with its name"
        )
    if inner != photos and folders:
        raise SplitError(
            f"{photos} holds a single folder: if the classes are the folders in {inner} "
            f"({folders[0].name} and so on), give --photos {quoted(inner)}"
        )


def find_photos(photos: Path, args: argparse.Namespace) -> dict[str, list[Path]]:
    """The readable images of each class folder in `photos`.

    Raises SplitError if there are none, the folders are no classes, or a class has too few.
    """
    if not photos.is_dir():
        raise SplitError(no_photos(photos, args))
    check_folders(photos)
    print(f"reading the photos in {photos} ...")
    loose = loose_images(photos)
    if loose:
        what = f"{len(loose)} images that lie in no class's folder"
        print(f"left out of {photos}: {what}, such as {loose[0]}")
    classes = {}
    for folder in class_folders(photos):
        classes[folder.name] = [path for path in find_images(folder) if can_be_read(path)]
    if not any(classes.values()):
        raise SplitError(no_photos(photos, args))
    least = len(parts_of(args.test))
    too_few = [
        f"{photos / class_name} ({len(files)})"
        for class_name, files in classes.items()
        if len(files) < least
    ]
    if too_few:
        raise SplitError(
            f"too few readable photos in {listed(too_few)}: at least {least} are needed in each "
            f"class, one for each of {listed(parts_of(args.test))}"
        )
    if len(classes) == 1:
        print(f"one class only, {listed([*classes])}: train.py needs two or more")
    return classes


def no_photos(photos: Path, args: argparse.Namespace) -> str:
    """The message for a folder that is not there, or holds no photos of any class."""
    found = f"no photos of any class in {photos}" if photos.is_dir() else f"no folder {photos}"
    place = photos / "<class>" / "*.jpg"
    if args.photos:
        return f"{found}: put yours there as {place}, or name another folder"
    fetch_them = command(args, "--download")
    draw_them = command(args, "--demo")
    if args.download or args.demo:  # nothing was fetched or drawn, as the folder was there
        return f"{found}: delete it, and run {draw_them if args.demo else fetch_them}"
    return (
        f"{found}: run {fetch_them} to fetch the flowers, {draw_them} to draw a demo set, or put "
        f"your own photos there as {place}"
    )


def report_copies(photos: Path, contents: dict[Path, bytes]) -> None:
    """Count photos with the same bytes, and name an example: in one class, and in several."""
    names_of: dict[bytes, list[str]] = {}
    for path, content in contents.items():
        names_of.setdefault(content, []).append(path.relative_to(photos).as_posix())
    copies = []
    mislabelled = []
    for names in names_of.values():
        class_names = {name.split("/")[0] for name in names}
        if len(class_names) > 1:
            mislabelled.append(names)
        elif len(names) > 1:
            copies.append(names)
    if copies:
        count = sum(len(names) - 1 for names in copies)
        example = f"{copies[0][0]} and {copies[0][1]}"
        print(f"copies of other photos: {count}, such as {example} (copies go to the same part)")
    if mislabelled:
        count = len(mislabelled)
        example = f"{mislabelled[0][0]} and {mislabelled[0][-1]}"
        print(
            f"the same photo in more than one class: {count}, such as {example} "
            f"(one label at most is right; they go to the same part)"
        )


def content_of(path: Path) -> bytes:
    """What is the same for copies of a file, and for no others."""
    return hashlib.sha256(path.read_bytes()).digest()


def keep_test_set(test: Path, contents: dict[Path, bytes]) -> dict[bytes, str]:
    """The contents of the images in a test/ that stays, so that training uses none of them."""
    if not test.is_dir():
        return {}
    part_of = {}
    for path in test.rglob("*"):
        if path.suffix.lower() in ENDINGS and path.is_file():
            part_of[content_of(path)] = "test"
    count = sum(content in part_of for content in contents.values())
    print(
        f"{test} is kept as it is: {count} of these photos lie in it, and stay out of train/ and "
        f"val/ (--test --overwrite draws it anew)"
    )
    return part_of


def draw_order(
    class_name: str, files: list[Path], count: int, contents: dict[Path, bytes], seed: int
) -> list[bytes]:
    """The contents of a class's photos in the order in which val/ and then test/ take them.

    The first `count` files are the validation set, unless some are copies.
    """
    # a text seeds the same stream on every machine, and each class has its own
    rng = random.Random(f"{seed} {class_name}".encode(errors="backslashreplace"))
    drawn = rng.sample(files, k=count)
    taken = set(drawn)
    rest = [path for path in files if path not in taken]
    rng.shuffle(rest)
    order = [contents[path] for path in drawn + rest]
    return list(dict.fromkeys(order))  # each content once, where it comes first


def draw_part(
    part: str,
    counts: dict[str, int],
    orders: dict[str, list[bytes]],
    members: dict[bytes, Counter[str]],
    part_of: dict[bytes, str],
) -> None:
    """Draw counts[class] photos of each class for a part, noted in `part_of` by their contents.

    Copies are taken together, so a class gets fewer where no others fit, and more where otherwise
    it would get none. `members` holds how many photos of each class have a content.
    """
    room = dict(counts)
    left = {}
    for class_name, order in orders.items():
        left[class_name] = sum(content not in part_of for content in order)
    # One photo stays for train/, and one for test/. val/ leaves both without --test as well, so
    # that it is the same with and without.
    stays = 2 if part == "val" else 1
    stay = {class_name: min(stays, left[class_name] - 1) for class_name in orders}

    def take(content: bytes) -> None:
        part_of[content] = part
        for class_name, number in members[content].items():
            room[class_name] -= number
            left[class_name] -= 1

    # the smallest class first: it has the least choice
    for class_name in sorted(orders, key=lambda name: (len(orders[name]), name)):
        too_many_copies = []
        for content in orders[class_name]:
            photos = members[content]
            if content in part_of or any(left[name] <= stay[name] for name in photos):
                continue
            if all(number <= room[name] for name, number in photos.items()):
                take(content)
            else:
                too_many_copies.append(content)
        if room[class_name] == counts[class_name] and too_many_copies:
            take(min(too_many_copies, key=lambda content: members[content].total()))


def draw(
    classes: dict[str, list[Path]],
    contents: dict[Path, bytes],
    part_of: dict[bytes, str],
    args: argparse.Namespace,
) -> None:
    """Note in `part_of` which contents go to which part."""
    counts = {}
    orders = {}
    members: dict[bytes, Counter[str]] = {}
    for class_name, files in classes.items():
        count = max(1, int(len(files) * VAL_RATE))
        counts[class_name] = count
        orders[class_name] = draw_order(class_name, files, count, contents, args.seed)
        for path in files:
            members.setdefault(contents[path], Counter())[class_name] += 1
    draw_part("val", counts, orders, members, part_of)
    if args.test:
        draw_part("test", counts, orders, members, part_of)
    for content in members:
        part_of.setdefault(content, "train")


def split(photos: Path, args: argparse.Namespace, work: Path) -> None:
    """Copy the photos of every class to train/, val/ and test/ in args.data_path.

    What is there is replaced, test/ only with --test. A photo in a subfolder of its class is copied
    to the same subfolder.

    Raises SplitError if there are no photos, or too few in a class; OSError if a file cannot be
    read or written.
    """
    classes = find_photos(photos, args)
    contents = {}
    for files in classes.values():
        for path in files:
            contents[path] = content_of(path)
    report_copies(photos, contents)
    part_of = {} if args.test else keep_test_set(args.data_path / "test", contents)
    draw(classes, contents, part_of, args)

    parts = parts_of(args.test)
    totals: Counter[str] = Counter()
    for class_name, files in classes.items():
        numbers = Counter(part_of[contents[path]] for path in files)
        empty = [f"{part}/" for part in parts if numbers[part] == 0]
        if empty:
            why = "copies go to the same part"
            if numbers["test"] > 0 and not args.test:
                why += f", and {numbers['test']} photos lie in {args.data_path / 'test'}"
            raise SplitError(
                f"too few different photos in {photos / class_name}: none is left for "
                f"{listed(empty)} ({why})"
            )
        print(f"{class_name}: " + ", ".join(f"{numbers[part]} for {PARTS[part]}" for part in parts))
        totals.update(numbers)

    building = work / "building"
    for path, content in contents.items():
        part = part_of[content]
        if part in parts:
            copy = building / part / path.relative_to(photos)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    if args.test:
        (work / "with_test").mkdir()
    building.rename(work / "new")  # complete
    put_in_place(work, args.data_path)
    print(", ".join(f"{totals[part]} images in {args.data_path / part}" for part in parts))
    if args.data_path == DATA_PATH:
        print(f"next: {next_command()}")


def is_official(archive: Path) -> bool:
    """Whether the file is the official archive. Raises OSError if it cannot be read."""
    if not archive.is_file():
        return False
    return hashlib.md5(archive.read_bytes(), usedforsecurity=False).hexdigest() == MD5


def fetch(path: Path) -> None:
    """Download the archive to `path`.

    Raises OSError, which a TimeoutError is too, or HTTPException.
    """
    print(f"fetching {URL} ({ARCHIVE_BYTES / 1e6:.0f} MB) ...")
    with urllib.request.urlopen(URL, timeout=TIMEOUT) as response, path.open("wb") as file:
        while block := response.read(ARCHIVE_BYTES // 20):
            file.write(block)
            print(f"{file.tell() / ARCHIVE_BYTES:.0%}")
    if not is_official(path):
        raise OSError("what came is not the official archive, or not all of it")


def unpack(archive: Path, target: Path) -> None:
    """Unpack the archive's flower_photos/ into the folder `target`.

    Raises ValueError if it holds anything else; TarError, zlib.error or EOFError if it is damaged.

    Its files are written one by one: extractall() makes links as well, through which an archive can
    leave `target`.
    """
    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            parts = PurePosixPath(member.name).parts
            in_place = parts[:1] == ("flower_photos",) and ".." not in parts
            if not in_place or not (member.isfile() or member.isdir()):
                raise ValueError(f"it holds {member.name[:80]!r}")
            if member.isfile():
                path = target.joinpath(*parts)
                path.parent.mkdir(parents=True, exist_ok=True)
                with tar.extractfile(member) as source, path.open("wb") as file:
                    shutil.copyfileobj(source, file)


def download_photos(photos: Path, work: Path, args: argparse.Namespace) -> None:
    """Make the folder `photos` from the official archive, fetched unless it lies beside it already.

    Raises SplitError if it cannot be fetched or unpacked, or is another archive.
    """
    archive = photos.with_name(ARCHIVE)
    try:
        if not lexists(archive):
            fetch(work / ARCHIVE)
            (work / ARCHIVE).rename(archive)
    except (OSError, http.client.HTTPException) as error:
        raise SplitError(
            f"cannot download {URL} ({error}): put it at {archive} by hand and run this again, or "
            f"draw a demo set: {command(args, '--demo')}"
        ) from None
    again = f"delete it, and run {command(args, '--download')}"
    if not is_official(archive):
        raise SplitError(f"{archive} is not the official archive (MD5 {MD5}): {again}")
    try:
        unpack(archive, work)
    except (tarfile.TarError, zlib.error, EOFError, ValueError) as error:
        raise SplitError(f"cannot unpack {archive} ({error}): {again}") from None
    (work / "flower_photos").rename(photos)


def lock(file: IO[str], data_path: Path) -> None:
    """Lock the open file until this process ends.

    Raises SplitError if another process has locked it.
    """
    try:
        if sys.platform == "win32":
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        raise SplitError(
            f"another split_data.py is at work in {data_path}: wait until it has ended"
        ) from None
    except OSError:
        pass  # some network drives have no locks, and there is nothing to be done about it


@contextlib.contextmanager
def workspace(data_path: Path) -> Iterator[Path]:
    """A temporary folder in `data_path`, for one process at a time.

    What a killed one left is put right first. Raises SplitError if another process is at work.
    """
    data_path.mkdir(parents=True, exist_ok=True)
    with (data_path / ".split_data.lock").open("a") as file:
        lock(file, data_path)
        for left in data_path.glob(".split_data_????????"):
            put_right(left, data_path)
        work = Path(tempfile.mkdtemp(prefix=".split_data_", dir=data_path))
        try:
            yield work
        finally:
            put_right(work, data_path)


def parts_in(work: Path) -> list[str]:
    """The parts that a run exchanges. Without --test, a test/ beside them is none of its own."""
    return parts_of((work / "with_test").exists())


def put_in_place(work: Path, data_path: Path) -> None:
    """Exchange the parts in `data_path` for those in work/new.

    If this is interrupted, put_right undoes it.
    """
    for part in parts_in(work):
        if lexists(data_path / part):
            (data_path / part).rename(work / f"old_{part}")
        (work / "new" / part).rename(data_path / part)
    (work / "new").rename(work / "done")


def put_right(work: Path, data_path: Path) -> None:
    """Remove `work`; if put_in_place was interrupted, undo it first.

    Can be interrupted, and called again.
    """
    if (work / "new").exists():
        for part in parts_in(work):
            if lexists(data_path / part) and not lexists(work / "new" / part):
                (data_path / part).rename(work / "new" / part)
            if lexists(work / f"old_{part}"):
                (work / f"old_{part}").rename(data_path / part)
        (work / "new").rename(work / "undone")
    shutil.rmtree(work, ignore_errors=True)


def names_in(*folders: Path) -> list[str]:
    """The names of the JPEG files in some folders and their subfolders, sorted."""
    names = []
    for folder in folders:
        names += [path.relative_to(folder).as_posix() for path in folder.rglob("*.jpg")]
    return sorted(names)


def check_place(photos: Path, data_path: Path) -> None:
    """Raise SplitError if the photos lie where the parts go, or the parts would lie among them."""
    source = photos.resolve()
    target = data_path.resolve()
    if source in (target, *target.parents):
        raise SplitError(
            f"train/ and val/ would lie in {photos}, among the classes: choose another --data-path"
        )
    for part in PARTS:
        folder = (data_path / part).resolve()
        if folder in (source, *source.parents):
            raise SplitError(
                f"{photos} lies in {data_path / part}, which can be replaced: choose another "
                f"--data-path"
            )


def is_demo_split(photos: Path, args: argparse.Namespace) -> bool:
    """Whether the demo set is there, and divided into the parts that are asked for."""
    train, val, test = (args.data_path / part for part in PARTS)
    if not all(lexists(args.data_path / part) for part in parts_of(args.test)):
        return False
    names = names_in(photos)
    if names == names_in(train, val, test):
        return True
    return not args.test and names == names_in(train, val)  # test/ holds other pictures


def run(args: argparse.Namespace, work: Path) -> None:
    """Fetch or draw what is to be split, and split it.

    Raises SplitError or OSError, with a message for the user.
    """
    own_folder = "demo_photos" if args.demo else "flower_photos"
    photos = args.photos or args.data_path / own_folder
    check_place(photos, args.data_path)
    targets = [args.data_path / part for part in parts_of(args.test)]
    existing = [str(target) for target in targets if lexists(target)]
    if existing and not args.overwrite:
        if args.demo and photos.is_dir() and is_demo_split(photos, args):
            print(f"the demo set is in {args.data_path} already (--overwrite splits it anew)")
            return
        raise SplitError(f"there is already {listed(existing)}: add --overwrite to replace it")
    if args.demo and not photos.exists():
        print("drawing the demo set ...")
        draw_demo_set(work / "demo_photos")
        (work / "demo_photos").rename(photos)
    elif args.download and not photos.exists():
        download_photos(photos, work, args)
    split(photos, args, work)


def main() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):  # a notebook's streams cannot be set
            # a log gets each line at once, and a letter that it cannot hold escaped
            stream.reconfigure(line_buffering=True, errors="backslashreplace")
    args = parse_args()
    try:
        if args.check:
            check(args.check)
        else:
            with workspace(args.data_path) as work:
                run(args, work)
    except (SplitError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("stopped: train/, val/ and test/ are all as before, or all new", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
