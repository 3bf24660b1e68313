"""data_set/: what counts as an image, the split, runs that are stopped, the demo set, the official archive."""

import functools
import hashlib
import importlib
import io
import itertools
import os
import shutil
import socket
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from drawn import draw_image
from PIL import Image
from running import ROOT, Killed, Patch, Result, call, fails, is_stopped, run_here, works

SPLIT = ROOT / "data_set" / "split_data.py"
sys.path.insert(0, str(SPLIT.parent))
split_data, demo_flowers = map(importlib.import_module, ("split_data", "demo_flowers"))
sys.path.remove(str(SPLIT.parent))


def split(*options: object) -> Result:
    """What main() does in the module that was imported, whose constants a test can replace."""
    return call(lambda: split_data.main(), SPLIT, *options)


def draw_photos(folder: Path, **counts: int) -> Path:
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            draw_image((200, 50, 40), seed=i).save(folder / name / f"{name}_{i:02d}.jpg")
    return folder


def files(*folders: Path) -> dict[str, bytes]:
    """The content of every file in the folders, but for split_data.py's own."""
    found = {
        path.relative_to(folder).as_posix(): path
        for folder in folders
        for path in folder.rglob("*")
    }
    return {
        name: path.read_bytes()
        for name, path in found.items()
        if path.is_file() and ".split_data" not in name
    }


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".split_data.lock")


def test_one_photo_in_ten_of_each_class_goes_to_val(tmp_path: Path) -> None:
    photos = draw_photos(tmp_path / "flower_photos", daisy=29, roses=10, tulips=3)
    result = works(run_here(SPLIT, "--data-path", tmp_path))
    assert result.err == "" and "38 images" in result.out and "4 images" in result.out
    train, val = tmp_path / "train", tmp_path / "val"
    assert [len(names(val / name)) for name in names(photos)] == [2, 1, 1] and files(
        train, val
    ) == files(photos)
    assert not files(train).keys() & files(val).keys() and names(tmp_path) == [
        "flower_photos",
        "train",
        "val",
    ]


def test_the_same_split_however_files_are_listed(tmp_path: Path, monkeypatch: Patch) -> None:
    photos, rglob = draw_photos(tmp_path / "photos", daisy=30), Path.rglob
    for (seed, numbers), reverse in itertools.product(
        {0: "02 13 22", 1: "00 11 28"}.items(), (False, True)
    ):
        monkeypatch.setattr(
            Path, "rglob", lambda *args, reverse=reverse: sorted(rglob(*args), reverse=reverse)
        )
        assert (
            split("--photos", photos, "--data-path", tmp_path, "--seed", seed, "--overwrite").status
            == 0
        )
        assert names(tmp_path / "val" / "daisy") == [
            f"daisy_{number}.jpg" for number in numbers.split()
        ]


def test_every_kind_of_image_is_taken_from_subfolders_too(tmp_path: Path) -> None:
    photos = draw_photos(tmp_path / "photos", daisy=0, roses=2)
    kinds = {
        "jpg": "JPEG",
        "JFIF": "JPEG",
        "jpe": "JPEG",
        "mpo": "MPO",
        "dib": "BMP",
        "gif": "GIF",
        "webp": "WEBP",
    }
    for folder in ("daisy", "daisy/trip", "daisy/trip/day 2"):  # the same names in each
        (photos / folder).mkdir(exist_ok=True)
        for ending, kind in kinds.items():
            draw_image((9, 99, 9), seed=len(folder)).save(
                photos / folder / f"{kind}.{ending}", kind
            )
    expected = files(photos)
    for path in (
        "daisy/a.heic",
        "daisy/trip/b.heic",
        "roses/Thumbs.db",
        "loose.png",
        "roses/._rose.jpg",
    ):
        (photos / path).write_bytes(b"no image")
    for name in (
        ".ipynb_checkpoints",
        "__MACOSX",
        "@eaDir",
        "$RECYCLE.BIN",
        "System Volume Information",
    ):
        for folder in (photos / name, photos / "daisy" / "trip" / name):
            folder.mkdir()
            (folder / "thumbnail.jpg").write_bytes(b"no image")
    result = split("--photos", photos, "--data-path", tmp_path)
    assert (result.status, result.err, files(tmp_path / "train", tmp_path / "val")) == (
        0,
        "",
        expected,
    )
    assert all(
        words in result.out
        for words in ("2 .heic", "a.heic", "1 .db", "Thumbs.db", "1 images", "loose.png")
    )
    assert not any(name in result.out for name in ("cannot be read", "thumbnail", "._rose"))


def test_images_that_cannot_be_read_are_left_out_and_listed(tmp_path: Path) -> None:
    photos = draw_photos(tmp_path / "photos", daisy=4, roses=4)
    whole = (photos / "daisy/daisy_00.jpg").read_bytes()
    cut_exif = b"Exif\0\0II*\0\x08\0\0\0\x09\0"  # Pillow warns of it
    Image.new("L", (12_000, 9_000)).save(photos / "roses/phone.jpg", exif=cut_exif)
    Image.new("1", (10_000, 10_000)).save(photos / "roses/map.png")
    good = files(photos)
    place = whole.index(b"\xff\xc0") + 5
    claim = whole[:place] + b"\xff\x00\xff\x00" + whole[place + 4 :]  # 65,280 x 65,280 pixels
    bad = {
        "cut.jpg": whole[: len(whole) // 2],
        "page.png": b"<html>",
        "empty.gif": b"",
        "claim.jpg": claim,
    }
    for name, content in bad.items():
        (photos / "daisy" / name).write_bytes(content)
    Image.new("1", (14_000, 14_000)).save(photos / "roses/huge.png")
    Image.new("F", (9, 9)).save(photos / "roses/float.tiff")
    bad_names = [*bad, "huge.png", "float.tiff"]
    if hasattr(os, "mkfifo"):  # not on Windows
        os.mkfifo(photos / "daisy/pipe.jpg")
        bad_names.append("pipe.jpg")
    checked, done = (
        split("--check", photos),
        split("--photos", photos, "--data-path", tmp_path / "data"),
    )
    fails(checked, f"{len(bad_names)} of {len(bad_names) + len(good)}")
    for out in (checked.out, done.out):
        lines = [line for line in out.splitlines() if "cannot be read" in line]
        assert len(lines) == len(bad_names) and all(
            any(name in line for line in lines) for name in bad_names
        )
    assert (done.status, done.err, files(tmp_path / "data/train", tmp_path / "data/val")) == (
        0,
        "",
        good,
    )
    assert split("--check", tmp_path / "data").status == 0


ERRORS = {
    "--overwrite": "flower_photos --download --demo",  # the photos are not there
    "--photos absent --overwrite": "absent", "--photos empty --overwrite": "empty", "--check absent": "absent",
    "--photos one --overwrite": "roses",  # a class of one photo
    "--photos good/daisy --overwrite": "daisy",  # photos, and no class folders
    "--photos data/val/daisy --overwrite": "--data-path", "--photos data --overwrite": "--data-path",
    "--photos good": "train val --overwrite", "--demo": "train val --overwrite", "--check empty": "empty",
    "--photos good --data-path good/daisy/daisy_00.jpg": "daisy_00.jpg",
}  # fmt: skip


def test_errors_change_nothing(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder, counts in {
        "empty": [0],
        "one": [2, 1],
        "good": [2, 2],
        "data/train": [2],
        "data/val": [1],
    }.items():
        draw_photos(Path(folder), **dict(zip(("daisy", "roses"), counts, strict=False)))
    before = files(tmp_path)
    for options, words in ERRORS.items():
        fails(split("--data-path", "data", *options.split()), *words.split())
        assert files(tmp_path) == before and names(Path("data")) == ["train", "val"]


@pytest.mark.parametrize("before", [["train", "val"], ["val"], []], ids=str)
@pytest.mark.parametrize("error", [Killed, KeyboardInterrupt, OSError])
def test_a_split_stopped_at_any_moment(
    before: list[str], error: type[BaseException], tmp_path: Path
) -> None:
    """Both folders are as before, or both new: at once, or when it was killed, after the next start."""
    operations = [(Path, "rename"), (Path, "mkdir"), (os, "mkdir"), (os, "rmdir"), (os, "unlink")]
    operations += [(shutil, "copyfile")]
    photos, data = draw_photos(tmp_path / "photos", daisy=2), tmp_path / "data"
    split_anew = ["--photos", photos, "--data-path", data, "--overwrite"]
    next_start = ["--photos", tmp_path / "absent", *split_anew[2:]]

    def begin() -> dict[str, bytes]:
        shutil.rmtree(data, ignore_errors=True)
        for folder in (
            *before,
            "split.new/train",
            "split.tmp/val",
            "unpack.tmp",
        ):  # the last three: the user's own
            (data / folder).mkdir(parents=True)
            (data / folder / "mine.txt").write_text("mine", encoding="utf-8")
        return files(data)

    old = begin()
    works(split(*split_anew))
    new, stopped, at = files(data), True, 0
    while stopped:
        at += 1
        for again in range(9):
            begin()
            stopped = is_stopped(at, error, operations, split, *split_anew)
            assert error is Killed or files(data) in (old, new)
            if again and not any(data.glob(".split_data_*/new")):
                break
            is_stopped(again, Killed, operations, split, *next_start)  # this one is killed as well
            fails(split(*next_start), "absent")
            assert files(data) in (old, new)
            assert {*names(data)} <= {"train", "val", "split.new", "split.tmp", "unpack.tmp"}
    assert at > 12


def test_one_run_at_a_time_and_its_log(tmp_path: Path) -> None:
    """A run that waits for a server has its line in the log, and keeps a second one out until it is killed."""
    data, options = (
        tmp_path / "data",
        ["--photos", draw_photos(tmp_path / "photos", daisy=4), "--data-path"],
    )
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/photos.tgz"
        code = f"import split_data; split_data.URL = {url!r}; split_data.main()"
        command = [sys.executable, "-c", code, "--download", "--data-path", str(data)]
        environment = {**os.environ, "PYTHONUNBUFFERED": "", "PYTHONPATH": str(SPLIT.parent)}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as first:
            assert url in first.stdout.readline()
            fails(split(*options, data), data)
            first.kill()
    assert works(split(*options, data)) and names(data) == ["train", "val"]


def test_the_demo_set(tmp_path: Path, monkeypatch: Patch) -> None:
    for name, seed in {"a": 0, "b": 0, "c": 1}.items():
        demo_flowers.draw_demo_set(tmp_path / name, images_per_class=8, seed=seed)
    pictures, again, others = (files(tmp_path / name) for name in "abc")
    assert pictures == again and names(tmp_path / "a") == sorted(demo_flowers.FLOWERS)
    assert len({*pictures.values(), *others.values()}) == 2 * 5 * 8  # no two alike
    assert all(
        240 <= max(Image.open(io.BytesIO(content)).size) <= 500 for content in pictures.values()
    )
    fails(run_here(SPLIT.with_name("demo_flowers.py"), tmp_path / "a"))
    assert len(names(tmp_path)) == 3
    monkeypatch.setattr(
        split_data,
        "draw_demo_set",
        functools.partial(demo_flowers.draw_demo_set, images_per_class=10),
    )
    data = tmp_path / "data"
    works(split("--demo", "--data-path", data))
    before = files(data)
    assert len(files(data / "train")) == 45 and len(files(data / "val")) == 5
    again = works(split("--demo", "--data-path", data))
    assert (again.out + again.err).count("\n") == 1 and files(data) == before
    next((data / "val").rglob("*.jpg")).unlink()  # it is not the demo set's any more
    fails(split("--demo", "--data-path", data), "--overwrite")


def make_archive(
    path: Path, patch: Patch, *odd: tarfile.TarInfo, length: int | None = None
) -> Path:
    """An archive as the official one is laid out, with odd members or cut off, which is taken for that one."""
    photos = draw_photos(path.parent / "drawn", daisy=3, roses=3)
    with tarfile.open(path, "w:gz") as tar:
        tar.add(photos, "flower_photos")
        for info in odd:
            tar.addfile(info)
    shutil.rmtree(photos)
    path.write_bytes(path.read_bytes()[:length])
    patch.setattr(split_data, "MD5", hashlib.md5(path.read_bytes()).hexdigest())
    patch.setattr(split_data, "URL", path.as_uri())
    return path


def test_the_archive_is_fetched_when_absent(tmp_path: Path, monkeypatch: Patch) -> None:
    archive, data = make_archive(tmp_path / "photos.tgz", monkeypatch), tmp_path / "data"
    result = split("--data-path", data, "--download")
    assert result.status == 0 and split_data.URL in result.out.splitlines()[0]
    assert (
        names(data) == ["flower_photos", "flower_photos.tgz", "train", "val"]
        and len(files(data / "val")) == 2
    )
    new = ["--data-path", tmp_path / "new", "--download"]
    for change in (lambda: archive.write_bytes(b"<html>"), archive.unlink):
        change()
        fails(split(*new), split_data.URL, "--demo")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(split_data, "URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(split_data, "TIMEOUT", 0.2)
        fails(split(*new), split_data.URL, "--demo")
    assert names(tmp_path / "new") == []
    shutil.rmtree(data / "flower_photos")  # the archive that lies there is used
    assert split("--data-path", data, "--download", "--overwrite").status == 0


def test_bad_archives(tmp_path: Path, monkeypatch: Patch) -> None:
    """Each is refused, whole or cut off, and would be if it were the official one."""
    places = (
        "other",
        f"{ROOT.anchor}absolute",
        "flower_photos/../../outside",
        "flower_photos" + "/deep" * 5000,
    )
    odd = [*map(tarfile.TarInfo, places)]
    special = [(kind, {}) for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE)]
    special += [
        (tarfile.REGTYPE, {"path": "flower_photos/a\0b"}),
        (tarfile.SYMTYPE, {"size": "NaN", "mtime": "NaN"}),
    ]
    for kind, headers in special:
        odd.append(tarfile.TarInfo("flower_photos/no file"))
        odd[-1].type, odd[-1].linkname, odd[-1].pax_headers = kind, "../../nothing", headers
    for info, length in itertools.product(odd, (None, 900)):
        make_archive(tmp_path / "flower_photos.tgz", monkeypatch, info, length=length)
        fails(split("--data-path", tmp_path, "--download"))
        monkeypatch.setattr(split_data, "MD5", "0" * 32)
        fails(split("--data-path", tmp_path, "--download"), "flower_photos.tgz", "delete")
        assert (
            names(tmp_path) == ["flower_photos.tgz"] and not (tmp_path.parent / "outside").exists()
        )
