"""Split the flower photos into a training set and a validation set, one photo in ten for validation.

python split_data.py               # flower_data/flower_photos -> flower_data/train, flower_data/val
python split_data.py --download    # fetch the official photos (229 MB) first
python split_data.py --demo        # draw a demo set instead: no network needed
python split_data.py --photos my_pictures --data-path my_data      # your own: my_pictures/<class>/*.jpg
python split_data.py --check flower_data                           # list every image that cannot be read
"""

import argparse
import contextlib
import hashlib
import http.client
import random
import re
import shutil
import sys
import tarfile
import tempfile
import urllib.request
import warnings
import zlib
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
VAL_RATE = 0.1

URL = "https://storage.googleapis.com/download.tensorflow.org/example_images/flower_photos.tgz"
ARCHIVE = "flower_photos.tgz"
MD5 = "6f87fb78e9cc9ab41eff2015b380011d"
ARCHIVE_BYTES = 228_813_984
TIMEOUT = 60  # seconds without a byte after which a download ends

# what counts as an image is the same in the lesson folders. Pillow opens .mpo as a JPEG, so OPEN does not list it
ENDINGS = {
    ending
    for ending, kind in Image.registered_extensions().items()
    if kind in Image.OPEN or kind == "MPO"
}
HIDDEN = re.compile(
    r"(^|/)(\.|(__MACOSX|@eaDir|\$RECYCLE\.BIN|System Volume Information)(/|$))", re.IGNORECASE
)
Image.MAX_IMAGE_PIXELS = (
    2**28
)  # Pillow refuses twice as many; its own limit is below what phones take


class SplitError(Exception):
    """Something the user can put right. The message is one line: what is wrong, and what to do."""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Split photos into train/ and val/, 10 % of each class to val/."
    )
    add = parser.add_argument
    add(
        "--data-path",
        type=Path,
        default=HERE / "flower_data",
        help="where train/ and val/ go (default: %(default)s)",
    )
    add("--overwrite", action="store_true", help="replace train/ and val/ where they exist")
    add("--seed", type=int, default=0, help="another seed, another split (default: %(default)s)")
    add = parser.add_mutually_exclusive_group().add_argument
    add(
        "--photos",
        type=Path,
        help="one subfolder of photos per class (default: flower_photos in --data-path)",
    )
    add("--download", action="store_true", help="fetch the official flower photos first (229 MB)")
    add("--demo", action="store_true", help="draw a demo set and split that: needs no network")
    add(
        "--check",
        type=Path,
        metavar="PATH",
        help="only list the images in PATH that cannot be read",
    )
    return parser.parse_args()


def find_images(folder: Path) -> list[Path]:
    """The files in `folder` and its subfolders with an image's ending, in the same order on every machine. Hidden and
    system folders are passed over, and the other files counted and named."""
    names = {path: path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    files = [
        path
        for path in sorted(names, key=names.get)
        if not HIDDEN.search(names[path]) and not path.is_dir()
    ]
    others: dict[str, list[str]] = {}
    for path in files:
        if path.suffix.lower() not in ENDINGS:
            others.setdefault(path.suffix.lower() or "other", []).append(names[path])
    for ending, left_out in others.items():
        print(
            f"left out of {folder}: {len(left_out)} {ending} files that Pillow cannot open, such as {left_out[0]}"
        )
    return [path for path in files if path.suffix.lower() in ENDINGS]


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
                image.load()
                image.getexif()
                if image.mode == "F" or (image.mode == "I" and image.getextrema()[1] > 65535):
                    raise ValueError("32 bits per channel, not 8 or 16")
    except Exception as error:  # garbage makes Pillow's decoders fail in any way
        print(f"cannot be read: {path} ({error!r})")
        return False
    return True


def check(folder: Path) -> None:
    """Read all images in `folder`. Raises SplitError if some cannot be read, or there are none."""
    images = find_images(folder)
    if not images:
        raise SplitError(f"no images in {folder}")
    print(f"reading {len(images)} images ...")
    readable = sum(map(can_be_read, images))
    if readable < len(images):
        raise SplitError(
            f"{len(images) - readable} of {len(images)} images in {folder} cannot be read"
        )
    print(f"all {readable} images in {folder} can be read")


def find_photos(photos: Path) -> dict[str, list[Path]]:
    """The readable images of each class folder in `photos`. Raises SplitError if there are none, or a class has one."""
    print(f"reading the photos in {photos} ...")
    if loose := [
        path.name for path in photos.glob("*") if path.is_file() and path.suffix.lower() in ENDINGS
    ]:
        print(
            f"left out of {photos}: {len(loose)} images that lie in no class's folder, such as {min(loose)}"
        )
    folders = [path for path in photos.glob("*") if path.is_dir() and not HIDDEN.search(path.name)]
    classes = {
        folder.name: list(filter(can_be_read, find_images(folder))) for folder in sorted(folders)
    }
    if not any(classes.values()):
        raise SplitError(
            f"no photos in {photos}: fetch the flowers with --download, draw a demo set with --demo, "
            f"or put your own there, as {photos / '<class>' / '*.jpg'}"
        )
    for class_name, files in classes.items():
        if len(files) < 2:
            raise SplitError(
                f"{photos / class_name} holds {len(files)} readable photos: at least 2 are needed"
            )
    return classes


def is_official(archive: Path) -> bool:
    return (
        archive.is_file()
        and hashlib.md5(archive.read_bytes(), usedforsecurity=False).hexdigest() == MD5
    )


def fetch(path: Path) -> None:
    """Download the archive to `path`. Raises OSError, which a TimeoutError is too, or HTTPException."""
    print(f"fetching {URL} ({ARCHIVE_BYTES / 1e6:.0f} MB) ...")
    with urllib.request.urlopen(URL, timeout=TIMEOUT) as response, path.open("wb") as file:
        while block := response.read(ARCHIVE_BYTES // 20):
            file.write(block)
            print(f"{file.tell() / ARCHIVE_BYTES:.0%}")
    if not is_official(path):
        raise OSError("what came is not the official archive, or not all of it")


def unpack(archive: Path, target: Path) -> None:
    """Unpack the archive's flower_photos/ into the folder `target`. Raises ValueError if it holds anything else.

    Its files are written one by one: extractall() makes links as well, through which an archive can leave `target`.
    """
    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            parts = PurePosixPath(member.name).parts
            if (
                parts[:1] != ("flower_photos",)
                or ".." in parts
                or not (member.isfile() or member.isdir())
            ):
                raise ValueError(f"it holds {member.name[:80]!r}")
            if member.isfile():
                path = target.joinpath(*parts)
                path.parent.mkdir(parents=True, exist_ok=True)
                with tar.extractfile(member) as source, path.open("wb") as file:
                    shutil.copyfileobj(source, file)


def download_photos(photos: Path, work: Path) -> None:
    """Make the folder `photos` from the official archive, which is fetched unless it lies beside it already. Raises
    SplitError if it cannot be fetched or unpacked, or is another archive."""
    archive = photos.with_name(ARCHIVE)
    try:
        if not lexists(archive):
            fetch(work / ARCHIVE)
            (work / ARCHIVE).rename(archive)
    except (OSError, http.client.HTTPException) as error:
        raise SplitError(
            f"cannot download {URL} ({error}): put it at {archive} by hand, or use --demo"
        ) from None
    if not is_official(archive):
        raise SplitError(
            f"{archive} is not the official archive (MD5 {MD5}): delete it and run --download again"
        )
    try:
        unpack(archive, work)
    except (tarfile.TarError, zlib.error, EOFError, ValueError) as error:
        raise SplitError(
            f"cannot unpack {archive} ({error}): delete it and run --download again"
        ) from None
    (work / "flower_photos").rename(photos)


def lock(file: IO[str], data_path: Path) -> None:
    """Lock the open file until this process ends. Raises SplitError if another process has locked it."""
    with contextlib.suppress(
        OSError
    ):  # some network drives have no locks, and there is nothing to be done about it
        try:
            if sys.platform == "win32":
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise SplitError(
                f"another split_data.py is at work in {data_path}: wait until it has ended"
            ) from None


@contextlib.contextmanager
def workspace(data_path: Path) -> Iterator[Path]:
    """A temporary folder in `data_path`, for one process at a time. What a killed one left is put right first."""
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


def put_in_place(work: Path, data_path: Path) -> None:
    """Exchange train/ and val/ in `data_path` for those in work/new. If this is interrupted, put_right undoes it."""
    for part in ("train", "val"):
        if lexists(data_path / part):
            (data_path / part).rename(work / f"old_{part}")
        (work / "new" / part).rename(data_path / part)
    (work / "new").rename(work / "done")


def put_right(work: Path, data_path: Path) -> None:
    """Remove `work`; if put_in_place was interrupted, undo it first. Can be interrupted, and called again."""
    if (work / "new").exists():
        for part in ("train", "val"):
            if lexists(data_path / part) and not lexists(work / "new" / part):
                (data_path / part).rename(work / "new" / part)
            if lexists(work / f"old_{part}"):
                (work / f"old_{part}").rename(data_path / part)
        (work / "new").rename(work / "undone")
    shutil.rmtree(work, ignore_errors=True)


def split(photos: Path, data_path: Path, work: Path, seed: int) -> None:
    """Copy the photos of every class to data_path/train and data_path/val, replacing what is there. A photo in a
    subfolder of its class is copied to the same subfolder."""
    classes = find_photos(photos)
    val_files: set[Path] = set()
    for class_name, files in classes.items():
        # a text seeds the same stream on every machine, and each class has its own
        rng = random.Random(f"{seed} {class_name}".encode(errors="backslashreplace"))
        val_count = max(1, int(len(files) * VAL_RATE))
        val_files.update(rng.sample(files, k=val_count))
        print(f"{class_name}: {len(files) - val_count} for training, {val_count} for validation")
    all_files = [path for files in classes.values() for path in files]
    for path in all_files:
        copy = (
            work / "building" / ("val" if path in val_files else "train") / path.relative_to(photos)
        )
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    (work / "building").rename(work / "new")  # complete
    put_in_place(work, data_path)
    totals = {"train": len(all_files) - len(val_files), "val": len(val_files)}
    print(", ".join(f"{count} images in {data_path / part}" for part, count in totals.items()))


def names_in(*folders: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix() for folder in folders for path in folder.rglob("*.jpg")
    )


def run(args: argparse.Namespace, work: Path) -> None:
    """Fetch or draw what is to be split, and split it. Raises SplitError or OSError, with a message for the user."""
    data_path, train, val = args.data_path, args.data_path / "train", args.data_path / "val"
    photos = args.photos or data_path / ("demo_photos" if args.demo else "flower_photos")
    source, target = photos.resolve(), data_path.resolve()
    if source in (target, *target.parents) or {train.resolve(), val.resolve()} & {
        source,
        *source.parents,
    }:
        raise SplitError(
            f"{photos} overlaps with train/ and val/ in {data_path}: choose another --data-path"
        )
    if existing := [str(part) for part in (train, val) if lexists(part) and not args.overwrite]:
        if args.demo and photos.is_dir() and names_in(photos) == names_in(train, val):
            print(f"the demo set is in {data_path} already (--overwrite splits it anew)")
            return
        raise SplitError(
            f"{' and '.join(existing)} exist(s) already: use --overwrite to replace train/ and val/"
        )
    if args.demo and not photos.exists():
        print("drawing the demo set ...")
        draw_demo_set(work / "demo_photos")
        (work / "demo_photos").rename(photos)
    elif args.download and not photos.exists():
        download_photos(photos, work)
    split(photos, data_path, work, args.seed)


def main() -> None:
    args = parse_args()
    with contextlib.suppress(
        AttributeError
    ):  # a log gets each line at once, and a letter that it cannot hold escaped
        sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    try:
        if args.check:
            check(args.check)
        else:
            with workspace(args.data_path) as work:
                run(args, work)
    except (SplitError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("stopped: train/ and val/ are both as before, or both new", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
