"""Split the flower photos into a training set and a validation set, one photo in ten for validation.

python split_data.py               # flower_data/flower_photos -> flower_data/train, flower_data/val
python split_data.py --download    # fetch the official photos (229 MB) first
python split_data.py --demo        # draw a demo set instead: no network needed
python split_data.py --photos my_pictures --data-path my_data      # your own: my_pictures/<class>/*.jpg
python split_data.py --check my_data                               # name every image that cannot be read
"""

import argparse
import contextlib
import random
import re
import shutil
import socket
import sys
import tarfile
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from PIL import Image
from torchvision.datasets.utils import check_integrity, download_url

from demo_flowers import draw_demo_set

HERE = Path(__file__).resolve().parent
VAL_RATE = 0.1
HIDDEN = re.compile(r"(^|/)(\.|(__MACOSX|@eaDir|\$RECYCLE\.BIN|System Volume Information)(/|$))")  # or a system's own

URL = "https://storage.googleapis.com/download.tensorflow.org/example_images/flower_photos.tgz"
ARCHIVE = "flower_photos.tgz"
MD5 = "6f87fb78e9cc9ab41eff2015b380011d"
ARCHIVE_BYTES = 228_813_984

# in --data-path, while a split is at work
LOCK, BUILDING, NEW, UNPACKING = ".split_data.lock", ".split_data.building", ".split_data.new", ".split_data.unpacking"


class SplitError(Exception):
    """Something the user can mend: the message says what is wrong and what to do."""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data_path = HERE / "flower_data"
    parser.add_argument(
        "--data-path", type=Path, default=data_path, help="where train/ and val/ are made (%(default)s)"
    )
    parser.add_argument("--photos", type=Path, help="one folder of photos per class (flower_photos in --data-path)")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--download", action="store_true", help="fetch the official flower photos first (229 MB)")
    source.add_argument("--demo", action="store_true", help="draw a demo set and split that: needs no network")
    source.add_argument("--check", type=Path, metavar="PATH", help="only name the images in PATH that cannot be read")
    parser.add_argument("--overwrite", action="store_true", help="replace train/ and val/ where they exist")
    parser.add_argument("--seed", type=int, default=0, help="another seed, another split (%(default)s)")
    args = parser.parse_args()
    if args.photos and (args.download or args.demo):
        parser.error("--photos names your own pictures: it does not go with --download or --demo")
    return args


# ---------------------------------------------------------------- images


def find_images(folder: Path) -> list[Path]:
    """The images in a folder and its subfolders, in an order that every machine agrees on.

    An image is what Pillow can open, by the file's ending. How many other files there are is printed.
    """
    endings = {ending for ending, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    paths = sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix())
    files = [path for path in paths if not HIDDEN.search(path.relative_to(folder).as_posix()) and path.is_file()]
    others = [path.name for path in files if path.suffix.lower() not in endings]
    if others:
        print(f"left out of {folder}: {len(others)} files that are no images, such as {others[0]}")
    return [path for path in files if path.suffix.lower() in endings]


def what_is_wrong(path: Path) -> str:
    """Why an image cannot be trained on, or nothing. The rules are those of open_image in the lessons' helpers.py."""
    Image.MAX_IMAGE_PIXELS = 2**28  # Pillow refuses twice as many
    try:
        with warnings.catch_warnings(record=True), Image.open(path) as image:
            if image.format not in ("JPEG", "MPO") and image.width * image.height > 178_956_970:
                return "it has more than 178,956,970 pixels"
            image.draft(None, (800, 800))  # a large JPEG is decoded at a fraction of its size
            image.load()
    except Exception as error:  # garbage makes Pillow's decoders fail in any way
        return (str(error).strip() or type(error).__name__).splitlines()[-1]
    return ""


def find_photos(photos: Path) -> dict[str, list[Path]]:
    """The readable images of each class folder in `photos`.

    Raises:
        SplitError: there are no photos, or a class has fewer than the two that a split needs.
    """
    classes = {}
    for folder in sorted(path for path in photos.iterdir() if path.is_dir() and not HIDDEN.search(path.name)):
        images = {path: what_is_wrong(path) for path in find_images(folder)}
        for path, wrong in images.items():
            if wrong:
                print(f"left out, cannot be read: {path} ({wrong})")
        classes[folder.name] = [path for path, wrong in images.items() if not wrong]
    if not any(classes.values()):
        raise SplitError(f"no photos in {photos}: it should hold one folder per class, with the photos in it")
    for class_name, files in classes.items():
        if len(files) < 2:
            raise SplitError(f"class {class_name} has {len(files)} photo(s) in {photos / class_name}: 2 are needed")
    return classes


def names_for(folder: Path, files: list[Path]) -> dict[Path, str]:
    """A name of its own for each file: sub/a.jpg becomes sub_a.jpg, or sub_a_2.jpg if there is another of that name."""
    names: dict[Path, str] = {}
    taken: set[str] = set()
    for file in sorted(files, key=lambda file: len(file.parts)):  # those that lie on top keep theirs
        plain = PurePosixPath("_".join(file.relative_to(folder).parts))
        name, number = plain.name, 1
        while name.lower() in taken:  # macOS and Windows take A.jpg and a.jpg for one
            number += 1
            name = f"{plain.stem}_{number}{plain.suffix}"
        names[file] = name
        taken.add(name.lower())
    return names


# ---------------------------------------------------------------- the official archive


def check_disk(folder: Path, needed: int) -> None:
    """Raise SplitError if the disk that holds `folder` has less than `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise SplitError(f"too little disk space for {folder}: {needed / 1e6:.0f} MB needed, {free / 1e6:.0f} MB free")


def download_photos(data_path: Path) -> None:
    """Make data_path/flower_photos from the official archive, which is fetched unless it lies there already."""
    archive = data_path / ARCHIVE
    if not archive.is_file():
        check_disk(data_path, 2 * ARCHIVE_BYTES)  # the archive, and as much again for what is in it
        partial = data_path / f"{ARCHIVE}.part"
        print(f"fetching {URL}")
        socket.setdefaulttimeout(30)  # seconds without an answer
        try:
            download_url(URL, str(data_path), filename=partial.name, md5=MD5)
            partial.replace(archive)
        except (OSError, RuntimeError) as error:  # no network; torchvision's MD5 check
            raise SplitError(f"cannot fetch {URL} ({error}): put it at {archive}, or use --demo") from error
        finally:
            partial.unlink(missing_ok=True)
    if not check_integrity(archive, MD5):
        raise SplitError(f"{archive} is not the official archive (MD5 {MD5}): delete it and run --download again")
    unpack(archive, data_path)


def unpack(archive: Path, data_path: Path) -> None:
    """Unpack `archive`, which holds flower_photos/, into `data_path`: whole, or nothing of it. Its members are written
    one by one as plain files, so that none can lie elsewhere or be a link."""
    unfinished = data_path / UNPACKING
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                target = unfinished / member.name
                if member.isfile() and unfinished in target.parents and ".." not in target.parts:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with tar.extractfile(member) as source, target.open("wb") as file:
                        shutil.copyfileobj(source, file)
        (unfinished / "flower_photos").rename(data_path / "flower_photos")
    except (tarfile.TarError, EOFError, zlib.error, ValueError, OSError) as error:
        wrong = (str(error).strip() or type(error).__name__).splitlines()[-1]
        raise SplitError(f"cannot unpack {archive} ({wrong}): delete it and run --download again") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


# ---------------------------------------------------------------- the split


@contextlib.contextmanager
def only_one(data_path: Path) -> Iterator[None]:
    """Let one split at a time work in a folder. The system takes the lock away when a process ends, however it ends."""
    with (data_path / LOCK).open("w") as file:
        try:
            if sys.platform == "win32":
                import msvcrt

                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SplitError(f"another split_data.py is at work in {data_path}") from None
        remove_unfinished(data_path)  # of a run that was killed
        yield


def put_in_place(new: Path, data_path: Path) -> None:
    """Rename new/train and new/val into `data_path`; what is there goes to new/old_train and new/old_val."""
    for part in ("train", "val"):
        if (data_path / part).exists():
            (data_path / part).rename(new / f"old_{part}")
        (new / part).rename(data_path / part)


def take_back(new: Path, data_path: Path) -> None:
    """Undo put_in_place, wherever it was interrupted."""
    for part in ("train", "val"):
        if not (new / part).exists() and (data_path / part).exists():
            (data_path / part).rename(new / part)
        if (new / f"old_{part}").exists():
            (new / f"old_{part}").rename(data_path / part)


def remove_unfinished(data_path: Path) -> None:
    """Tidy up after a run that failed or was killed; photos that it had moved go back to their places."""
    building, new = data_path / BUILDING, data_path / NEW
    for folder in (building, data_path / UNPACKING):
        shutil.rmtree(folder, ignore_errors=True)
    if new.exists():
        take_back(new, data_path)
        new.rename(building)  # so that no one takes what is left of it for whole, should this be killed too
        shutil.rmtree(building, ignore_errors=True)


def split(photos: Path, data_path: Path, seed: int) -> dict[str, tuple[int, int]]:
    """Copy the photos of every class to data_path/train and data_path/val, replacing what is there.

    Both folders are built beside their places and renamed when they are complete.

    Returns:
        for each class, how many images went to train and how many to val
    """
    classes = find_photos(photos)
    check_disk(data_path, sum(path.stat().st_size for files in classes.values() for path in files))
    building, new = data_path / BUILDING, data_path / NEW
    counts = {}
    try:
        for class_name, files in classes.items():
            # a text seeds the same stream on every machine, and each class has its own
            rng = random.Random(f"{seed} {class_name}".encode(errors="backslashreplace"))
            val_files = set(rng.sample(files, k=max(1, int(len(files) * VAL_RATE))))
            for part in ("train", "val"):
                (building / part / class_name).mkdir(parents=True)
            for path, name in names_for(photos / class_name, files).items():
                shutil.copyfile(path, building / ("val" if path in val_files else "train") / class_name / name)
            counts[class_name] = (len(files) - len(val_files), len(val_files))
        building.rename(new)
        put_in_place(new, data_path)
        new.rename(building)  # done: nothing is to be taken back any more
    finally:
        remove_unfinished(data_path)
    return counts


def is_split(photos: Path, data_path: Path) -> bool:
    """Whether train/ and val/ hold the photos, as a split of them does."""
    names = [
        {path.name for path in folder.rglob("*.jpg")} for folder in (photos, data_path / "train", data_path / "val")
    ]
    return bool(names[0]) and names[0] == names[1] | names[2]


def run(args: argparse.Namespace) -> None:
    """Do what the options ask for. Raises SplitError, or OSError, with a message for the user."""
    data_path = args.data_path
    photos = args.photos or data_path / ("demo_photos" if args.demo else "flower_photos")
    for part in ("train", "val"):
        place = (data_path / part).resolve()
        if place in (photos.resolve(), *photos.resolve().parents):
            raise SplitError(f"--photos is {photos}, which would be replaced: move it, or choose another --data-path")
    data_path.mkdir(parents=True, exist_ok=True)
    with only_one(data_path):
        if args.demo and not args.overwrite and is_split(photos, data_path):
            print(f"the demo set is in {data_path} already")
            return
        existing = [str(data_path / part) for part in ("train", "val") if (data_path / part).exists()]
        if existing and not args.overwrite:
            raise SplitError(f"{' and '.join(existing)} exist(s) already: use --overwrite to replace train/ and val/")
        if args.demo and not photos.exists():
            print("drawing the demo set ...")
            draw_demo_set(photos)
        elif args.download and not photos.exists():
            download_photos(data_path)
        if args.photos and not photos.is_dir():
            raise SplitError(f"no folder {photos}")
        if not photos.is_dir():
            raise SplitError(
                f"no photos in {photos}: fetch them with --download, draw a demo set with --demo, "
                f"or put photos there by hand, as {photos / '<class>' / '*.jpg'}"
            )
        counts = split(photos, data_path, args.seed)
    for class_name, (train_count, val_count) in counts.items():
        print(f"{class_name}: {train_count} for training, {val_count} for validation")
    totals = [sum(column) for column in zip(*counts.values(), strict=True)]
    print(f"{totals[0]} images in {data_path / 'train'}, {totals[1]} images in {data_path / 'val'}")


def check(folder: Path) -> None:
    """Name every image in `folder` that cannot be read. Raises SplitError if there is one, or no folder."""
    if not folder.is_dir():
        raise SplitError(f"no folder {folder}")
    images = find_images(folder)
    bad = {path: wrong for path in images if (wrong := what_is_wrong(path))}
    for path, wrong in bad.items():
        print(f"cannot be read: {path} ({wrong})")
    if bad:
        raise SplitError(f"{len(bad)} of {len(images)} images in {folder} cannot be read: see the lines above")
    print(f"all {len(images)} images in {folder} can be read")


def main() -> None:
    args = parse_args()
    with contextlib.suppress(AttributeError):  # a log gets each line at once, and a letter that it cannot hold escaped
        sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    try:
        check(args.check) if args.check else run(args)
    except (SplitError, OSError) as error:
        raise SystemExit(f"error: {error}") from error
    except KeyboardInterrupt:
        print("stopped: train/ and val/ are whole, both as before or both new", file=sys.stderr)
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
