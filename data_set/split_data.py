"""Split the flower photos into a training set and a validation set, one photo in ten for validation.

python split_data.py               # flower_data/flower_photos -> flower_data/train, flower_data/val
python split_data.py --download    # fetch the official photos (229 MB) first
python split_data.py --demo        # draw a demo set instead: no network needed
python split_data.py --photos my_pictures --data-path my_data      # your own: my_pictures/<class>/*.jpg
"""

import argparse
import io
import random
import shutil
import sys
import tarfile
import warnings
import zlib
from pathlib import Path

from PIL import Image
from torchvision.datasets.folder import IMG_EXTENSIONS, has_file_allowed_extension
from torchvision.datasets.utils import check_integrity, download_url

from demo_flowers import draw_demo_set

HERE = Path(__file__).resolve().parent
VAL_RATE = 0.1

URL = "https://storage.googleapis.com/download.tensorflow.org/example_images/flower_photos.tgz"
ARCHIVE = "flower_photos.tgz"
MD5 = "6f87fb78e9cc9ab41eff2015b380011d"
ARCHIVE_BYTES = 228_813_984


class SplitError(Exception):
    """Something the user can mend: the message says what is wrong and what to do."""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Split photos into train/ and val/, 10 %% of each class to val/.")
    parser.add_argument(
        "--data-path",
        type=Path,
        default=HERE / "flower_data",
        help="where train/ and val/ are made (default: flower_data beside this script)",
    )
    parser.add_argument(
        "--photos", type=Path, help="one subfolder of photos per class (default: flower_photos in --data-path)"
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--download", action="store_true", help="fetch the official flower photos first (229 MB)")
    source.add_argument("--demo", action="store_true", help="draw a demo set and split that: needs no network")
    parser.add_argument("--overwrite", action="store_true", help="replace train/ and val/ where they exist")
    parser.add_argument("--seed", type=int, default=0, help="another seed, another split (default: %(default)s)")
    args = parser.parse_args()
    if args.photos and (args.download or args.demo):
        parser.error("--photos names your own pictures: it does not go with --download or --demo")
    return args


def check_disk(folder: Path, needed: int) -> None:
    """Raise SplitError if the disk that holds `folder` has less than `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise SplitError(f"too little disk space for {folder}: {needed / 1e6:.0f} MB needed, {free / 1e6:.0f} MB free")


def download_photos(data_path: Path) -> None:
    """Make data_path/flower_photos from the official archive, which is fetched unless it lies there already."""
    archive = data_path / ARCHIVE
    if not hasattr(tarfile, "data_filter"):
        raise SplitError("this Python is too old to unpack the archive safely: take 3.10.12, 3.11.4 or newer")
    if not archive.is_file():
        check_disk(data_path, 2 * ARCHIVE_BYTES)  # the archive, and as much again for what is in it
        partial = data_path / f"{ARCHIVE}.part"
        try:
            download_url(URL, str(data_path), filename=partial.name, md5=MD5)
            partial.replace(archive)
        except BaseException as error:
            partial.unlink(missing_ok=True)
            if not isinstance(error, OSError | RuntimeError):  # no URLError, and not torchvision's MD5 check
                raise
            raise SplitError(
                f"could not download {URL} ({error}). Fetch it another way and put it at {archive}, "
                "or draw a demo set with --demo"
            ) from error
    elif not check_integrity(archive, MD5):
        raise SplitError(f"{archive} is not the official archive (MD5 {MD5}): delete it and run --download again")
    unpack(archive, data_path)


def unpack(archive: Path, data_path: Path) -> None:
    """Unpack `archive`, which holds flower_photos/, into `data_path`: whole, or nothing of it."""
    unfinished = data_path / "unpack.tmp"
    shutil.rmtree(unfinished, ignore_errors=True)  # of a run that was killed
    try:
        with tarfile.open(archive) as tar:
            # the "data" filter refuses everything that would land outside the folder
            tar.extractall(unfinished, filter="data")
        if not (unfinished / "flower_photos").is_dir():
            raise SplitError(f"{archive} holds no folder flower_photos")
        (unfinished / "flower_photos").rename(data_path / "flower_photos")
    except tarfile.FilterError as error:
        raise SplitError(f"{archive} is not safe to unpack ({error}): delete it") from error
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise SplitError(f"{archive} is damaged ({error}): delete it and run --download again") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def can_be_read(path: Path) -> bool:
    """Whether Pillow can decode the whole file, and thinks its size safe."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd EXIF entries
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                image.load()
    except MemoryError:
        raise
    except Exception:  # garbage makes Pillow's decoders fail in any way
        return False
    return True


def find_photos(photos: Path) -> dict[str, list[Path]]:
    """The readable images of each class folder in `photos`, sorted by name so that every machine agrees.

    Raises:
        SplitError: there are no photos, or a class has fewer than the two that a split needs.
    """
    classes = {}
    for folder in sorted(p for p in photos.iterdir() if p.is_dir() and not p.name.startswith(".")):
        files = [
            path
            for path in sorted(folder.iterdir())
            if path.is_file() and has_file_allowed_extension(path.name, IMG_EXTENSIONS) and path.name[0] != "."
        ]
        classes[folder.name] = [path for path in files if can_be_read(path)]
        for path in sorted(set(files) - set(classes[folder.name])):
            print(f"left out, not a readable image: {path}")
    if not any(classes.values()):
        raise SplitError(f"no photos in {photos}: it should hold one folder per class, with the photos in it")
    for class_name, files in classes.items():
        if len(files) < 2:
            raise SplitError(
                f"class {class_name} has {len(files)} photo(s) in {photos / class_name}: "
                "at least 2 are needed, one to train on and one to validate"
            )
    return classes


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
    building, new = data_path / "split.tmp", data_path / "split.new"
    shutil.rmtree(building, ignore_errors=True)
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
    building, new = data_path / "split.tmp", data_path / "split.new"
    counts = {}
    try:
        for class_name, files in classes.items():
            # a text seeds the same stream on every machine, and each class has its own
            rng = random.Random(f"{seed} {class_name}".encode(errors="backslashreplace"))
            val_count = max(1, int(len(files) * VAL_RATE))
            val_files = set(rng.sample(files, k=val_count))
            for part in ("train", "val"):
                (building / part / class_name).mkdir(parents=True)
            for path in files:
                part = "val" if path in val_files else "train"
                shutil.copyfile(path, building / part / class_name / path.name)
            counts[class_name] = (len(files) - val_count, val_count)
        building.rename(new)
        put_in_place(new, data_path)
        new.rename(building)  # done: nothing is to be taken back any more
    finally:
        remove_unfinished(data_path)
    return counts


def run(args: argparse.Namespace) -> None:
    """Do what the options ask for. Raises SplitError, or OSError, with a message for the user."""
    data_path = args.data_path
    remove_unfinished(data_path)
    for part in ("train", "val"):
        place = (data_path / part).resolve()
        if args.photos and place in (args.photos.resolve(), *args.photos.resolve().parents):
            raise SplitError(
                f"--photos is {args.photos}, which would be replaced: move it, or choose another --data-path"
            )
    existing = [str(data_path / part) for part in ("train", "val") if (data_path / part).exists()]
    if existing and not args.overwrite:
        raise SplitError(f"{' and '.join(existing)} exist(s) already: use --overwrite to replace train/ and val/")

    photos = args.photos or data_path / ("demo_photos" if args.demo else "flower_photos")
    if args.demo or args.download:
        data_path.mkdir(parents=True, exist_ok=True)
        if args.demo and not photos.exists():
            print("drawing the demo set ...")
            draw_demo_set(photos)
        elif args.download and not photos.exists():
            download_photos(data_path)
    if not photos.is_dir():
        if args.photos:
            raise SplitError(f"no folder {photos}")
        raise SplitError(
            f"no photos in {photos}: fetch them with --download, draw a demo set with --demo, "
            f"or put photos there by hand, as {photos / '<class>' / '*.jpg'}"
        )

    data_path.mkdir(parents=True, exist_ok=True)
    counts = split(photos, data_path, args.seed)
    for class_name, (train_count, val_count) in counts.items():
        print(f"{class_name}: {train_count} for training, {val_count} for validation")
    totals = [sum(column) for column in zip(*counts.values(), strict=True)]
    print(f"{totals[0]} images in {data_path / 'train'}, {totals[1]} images in {data_path / 'val'}")


def main() -> None:
    args = parse_args()
    if isinstance(sys.stdout, io.TextIOWrapper):  # a file name that the console cannot show must not end the run
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        run(args)
    except (SplitError, OSError) as error:
        raise SystemExit(f"split_data.py: {error}") from error
    except KeyboardInterrupt:
        print("split_data.py: stopped; train/ and val/ are whole, both as before or both new", file=sys.stderr)
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
