"""data_set/: what counts as an image, the split, stopped runs, the demo set, the archive."""

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
import zlib
from pathlib import Path

import pytest
from drawn import draw_image
from PIL import Image, PngImagePlugin
from running import ROOT, Killed, Patch, Result, call, fails, is_stopped, run_here, works

SPLIT = ROOT / "data_set" / "split_data.py"
sys.path.insert(0, str(SPLIT.parent))
split_data = importlib.import_module("split_data")
demo_flowers = importlib.import_module("demo_flowers")
sys.path.remove(str(SPLIT.parent))


def split(*options: object) -> Result:
    """What main() does in the module that was imported, whose constants a test can replace."""
    return call(lambda: split_data.main(), SPLIT, *options)


def draw_photos(folder: Path, **counts: int) -> Path:
    """Draw `counts` photos of each class, no two of them alike."""
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            picture = draw_image((200, 50, 40), seed=zlib.crc32(f"{name} {i}".encode()))
            picture.save(folder / name / f"{name}_{i:02d}.jpg")
    return folder


def copy_photo(photos: Path, source: str, copy: str) -> None:
    shutil.copyfile(photos / source, photos / copy)


def files(*folders: Path) -> dict[str, bytes]:
    """The content of every file in the folders, but for split_data.py's own."""
    found = {}
    for folder in folders:
        for path in folder.rglob("*"):
            name = path.relative_to(folder).as_posix()
            if path.is_file() and ".split_data" not in name:
                found[name] = path.read_bytes()
    return found


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".split_data.lock")


def counts(data: Path, part: str) -> dict[str, int]:
    return {name: len(names(data / part / name)) for name in names(data / part)}


def test_one_photo_in_ten_of_each_class_goes_to_val(tmp_path: Path) -> None:
    photos = draw_photos(tmp_path / "flower_photos", daisy=29, roses=10, tulips=3)
    result = works(run_here(SPLIT, "--data-path", tmp_path))
    assert result.err == ""
    assert "38 images" in result.out
    assert "4 images" in result.out
    train = tmp_path / "train"
    val = tmp_path / "val"
    assert counts(tmp_path, "val") == {"daisy": 2, "roses": 1, "tulips": 1}
    assert files(train, val) == files(photos)
    assert not files(train).keys() & files(val).keys()
    assert names(tmp_path) == ["flower_photos", "train", "val"]


@pytest.mark.parametrize(("seed", "numbers"), [(0, "02 13 22"), (1, "00 11 28")])
@pytest.mark.parametrize("reverse", [False, True])
def test_the_same_split_however_files_are_listed(
    seed: int, numbers: str, reverse: bool, tmp_path: Path, monkeypatch: Patch
) -> None:
    photos = draw_photos(tmp_path / "photos", daisy=30)
    rglob = Path.rglob
    monkeypatch.setattr(Path, "rglob", lambda *args: sorted(rglob(*args), reverse=reverse))
    works(split("--photos", photos, "--data-path", tmp_path, "--seed", seed))
    expected = [f"daisy_{number}.jpg" for number in numbers.split()]
    assert names(tmp_path / "val" / "daisy") == expected


KINDS = {
    "jpg": "JPEG",
    "JFIF": "JPEG",
    "jpe": "JPEG",
    "mpo": "MPO",
    "dib": "BMP",
    "gif": "GIF",
    "webp": "WEBP",
}
NO_IMAGES = [
    "daisy/a.heic",
    "daisy/trip/b.heic",
    "roses/Thumbs.db",
    "loose.png",
    "roses/._rose.jpg",
]
SYSTEM_FOLDERS = [
    ".ipynb_checkpoints",
    "__MACOSX",
    "@eaDir",
    "$RECYCLE.BIN",
    "System Volume Information",
]


def test_every_kind_of_image_is_taken_from_subfolders_too(tmp_path: Path) -> None:
    photos = draw_photos(tmp_path / "photos", daisy=0, roses=2)
    for folder in ("daisy", "daisy/trip", "daisy/trip/day 2"):  # the same names in each
        (photos / folder).mkdir(exist_ok=True)
        for ending, kind in KINDS.items():
            picture = draw_image((9, 99, 9), seed=len(folder))
            picture.save(photos / folder / f"{kind}.{ending}", kind)
    expected = files(photos)
    for path in NO_IMAGES:
        (photos / path).write_bytes(b"no image")
    for name in SYSTEM_FOLDERS:
        for folder in (photos / name, photos / "daisy" / "trip" / name):
            folder.mkdir()
            (folder / "thumbnail.jpg").write_bytes(b"no image")
    result = works(split("--photos", photos, "--data-path", tmp_path))
    assert result.err == ""
    assert files(tmp_path / "train", tmp_path / "val") == expected
    for words in ("2 .heic", "a.heic", "1 .db", "Thumbs.db", "1 images", "loose.png"):
        assert words in result.out
    for words in ("cannot be read", "thumbnail", "._rose"):
        assert words not in result.out


def lines_about_unreadable(result: Result) -> str:
    return "\n".join(line for line in result.out.splitlines() if "cannot be read" in line)


def test_images_that_cannot_be_read_are_left_out_and_listed(tmp_path: Path) -> None:
    photos = draw_photos(tmp_path / "photos", daisy=4, roses=4)
    whole = (photos / "daisy/daisy_00.jpg").read_bytes()
    cut_exif = b"Exif\0\0II*\0\x08\0\0\0\x09\0"  # Pillow warns of it
    Image.new("L", (12_000, 9_000)).save(photos / "roses/phone.jpg", exif=cut_exif)
    Image.new("1", (10_000, 10_000)).save(photos / "roses/map.png")
    good = files(photos)

    place = whole.index(b"\xff\xc0") + 5
    claim = whole[:place] + b"\xff\x00\xff\x00" + whole[place + 4 :]  # 65,280 x 65,280 pixels
    (photos / "daisy/cut.jpg").write_bytes(whole[: len(whole) // 2])
    (photos / "daisy/page.png").write_bytes(b"<html>")
    (photos / "daisy/empty.gif").write_bytes(b"")
    (photos / "daisy/claim.jpg").write_bytes(claim)
    Image.new("1", (14_000, 14_000)).save(photos / "roses/huge.png")
    Image.new("F", (9, 9)).save(photos / "roses/float.tiff")
    bad = ["cut.jpg", "page.png", "empty.gif", "claim.jpg", "huge.png", "float.tiff"]
    if hasattr(os, "mkfifo"):  # not on Windows
        os.mkfifo(photos / "daisy/pipe.jpg")
        bad.append("pipe.jpg")

    checked = split("--check", photos)
    fails(checked, f"{len(bad)} of {len(bad) + len(good)}")
    data = tmp_path / "data"
    done = works(split("--photos", photos, "--data-path", data))
    assert done.err == ""
    for result in (checked, done):
        lines = lines_about_unreadable(result)
        assert len(lines.splitlines()) == len(bad)
        assert all(name in lines for name in bad)
    assert files(data / "train", data / "val") == good
    works(split("--check", data))


def test_damaged_exif_and_32_bits_are_no_reason_to_refuse(tmp_path: Path) -> None:
    photos = draw_photos(tmp_path / "photos", daisy=2, roses=2)
    picture = draw_image((200, 50, 40), seed=0)
    not_a_tiff = "\nexif\n      12\n457869660000000000000000"  # Exif, and zeros
    for name in ("tEXt", "zTXt"):
        info = PngImagePlugin.PngInfo()
        info.add_text("Raw profile type exif", not_a_tiff, zip=name == "zTXt")
        picture.save(photos / "roses" / f"{name}.png", pnginfo=info)
    picture.save(photos / "roses" / "eXIf.png", exif=b"no TIFF file")
    for name in ("tEXt", "zTXt", "eXIf"):
        path = photos / "roses" / f"{name}.png"
        assert name.encode() in path.read_bytes()
        with Image.open(path) as image, pytest.raises(SyntaxError, match="not a TIFF file"):
            image.getexif()
    depth = Image.new("I", (9, 9), 65535)
    depth.save(photos / "roses" / "depth.tiff")
    result = works(split("--photos", photos, "--data-path", tmp_path))
    assert lines_about_unreadable(result) == ""
    assert files(tmp_path / "train", tmp_path / "val") == files(photos)

    depth.putpixel((0, 0), 65536)
    depth.save(photos / "roses" / "depth.tiff")
    result = split("--check", photos)
    fails(result, "1 of 8")
    assert "depth.tiff" in lines_about_unreadable(result)


ERRORS = {
    "--overwrite": "flower_photos --download --demo",  # the photos are not there
    "--photos absent --overwrite": "absent",
    "--photos empty --overwrite": "empty",
    "--photos one --overwrite": "roses 2",  # a class of one photo
    "--photos good --overwrite --test": "daisy roses 3",  # classes of two photos
    "--photos good/daisy --overwrite": "daisy",  # photos, and no class folders
    "--photos data/val/daisy --overwrite": "--data-path",
    "--photos data/test/daisy --overwrite": "--data-path",
    "--photos data --overwrite": "--data-path",
    "--photos good": "train val --overwrite",
    "--demo": "train val --overwrite",
    "--check absent": "absent",
    "--check empty": "empty",
    "--photos good --data-path good/daisy/daisy_00.jpg": "daisy_00.jpg",
}


def test_errors_change_nothing(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.chdir(tmp_path)
    draw_photos(Path("empty"), daisy=0)
    draw_photos(Path("one"), daisy=2, roses=1)
    draw_photos(Path("good"), daisy=2, roses=2)
    draw_photos(Path("data/train"), daisy=2)
    draw_photos(Path("data/val"), daisy=1)
    before = files(tmp_path)
    for options, words in ERRORS.items():
        fails(split("--data-path", "data", *options.split()), *words.split())
        assert files(tmp_path) == before
        assert names(Path("data")) == ["train", "val"]


@pytest.mark.parametrize(
    ("layout", "words"),
    [
        (["train/daisy", "test/daisy"], ["train/", "test/", "kaggle/train"]),
        (["TEST/daisy", "Train/daisy"], ["Train/", "TEST/", "kaggle/Train"]),
        (["valid/daisy", "testing/daisy"], ["valid/", "testing/", "kaggle/testing"]),
        (["training/daisy", "validation/daisy", "docs/x"], ["validation/", "kaggle/training"]),
        (["train/daisy", "test"], ["train/", "test/", "kaggle/train"]),  # a test set without labels
        (["x/train/daisy", "x/val/daisy"], ["train/", "val/", "kaggle/x/train"]),
        (["train", "test"], ["train/", "test/", "folder with its name"]),
        (["flowers/daisy", "flowers/roses"], ["single folder", "daisy", "kaggle/flowers"]),
        (["a/b/daisy", "a/b/roses"], ["single folder", "daisy", "kaggle/a/b"]),
        (["seg_train/a", "seg_test/a", "seg_pred/0"], ["split already", "kaggle/seg_train"]),
        (["train/daisy", "train/roses", "unlabeled/x"], ["split already", "kaggle/train"]),
        (["train/daisy", "daisy"], ["split already", "kaggle/train"]),
        (["train data/a", "test data/a"], ["split already", "kaggle/train data"]),
        (["TrainSet/a", "TestSet/a"], ["split already", "kaggle/TrainSet"]),
        (["训练集/a", "测试集/a"], ["split already", "kaggle/训练集"]),
        (["images/train/a", "images/val/a", "labels/train/a"], ["split already", "images/train"]),
        (["train/daisy", "train/roses"], ["single folder", "daisy", "kaggle/train"]),
    ],
    ids=str,
)
def test_folders_that_are_no_classes(
    layout: list[str], words: list[str], tmp_path: Path, monkeypatch: Patch
) -> None:
    """Photos that are split already, or lie a level too deep: the line names the folder to give."""
    monkeypatch.chdir(tmp_path)
    for folder in layout:
        draw_photos(Path("kaggle", folder).parent, **{Path(folder).name: 3})
    result = split("--photos", "kaggle", "--data-path", "data")
    fails(result, *(str(Path(word)) if "kaggle" in word else word for word in words))
    assert names(Path("data")) == []


def test_class_names_that_look_like_parts(tmp_path: Path) -> None:
    """One class may be called train, and one folder may hold a class with folders of its own."""
    photos = draw_photos(tmp_path / "photos", car=2, train=2)
    draw_photos(photos / "train", trip=2)
    works(split("--photos", photos, "--data-path", tmp_path / "data"))
    assert names(tmp_path / "data" / "train") == ["car", "train"]

    shutil.rmtree(photos / "car")
    result = works(split("--photos", photos, "--data-path", tmp_path / "one"))
    assert "one class only" in result.out


def names_by_content(*folders: Path) -> dict[bytes, list[str]]:
    found: dict[bytes, list[str]] = {}
    for name, content in files(*folders).items():
        found.setdefault(content, []).append(name)
    return found


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("reverse", [False, True])
def test_copies_go_to_the_same_part(
    seed: int, reverse: bool, tmp_path: Path, monkeypatch: Patch
) -> None:
    photos = draw_photos(tmp_path / "photos", daisy=25, roses=30)
    for i in range(15):
        copy_photo(photos, f"daisy/daisy_{i:02d}.jpg", f"daisy/daisy_{i:02d} (1).jpg")
    rglob = Path.rglob
    monkeypatch.setattr(Path, "rglob", lambda *args: sorted(rglob(*args), reverse=reverse))
    default, tested = tmp_path / "default", tmp_path / "tested"
    result = works(split("--photos", photos, "--data-path", default, "--seed", seed))
    works(split("--photos", photos, "--data-path", tested, "--seed", seed, "--test"))

    line = "copies of other photos: 15, such as daisy/daisy_00 (1).jpg and daisy/daisy_00.jpg"
    assert result.out.count(line) == 1
    assert counts(default, "val") == {"daisy": 4, "roses": 3}
    assert files(default / "val") == files(tested / "val")
    assert counts(tested, "test") == {"daisy": 4, "roses": 3}
    assert files(tested / "train", tested / "val", tested / "test") == files(photos)
    parts = [names_by_content(tested / part) for part in ("train", "val", "test")]
    for one, other in itertools.combinations(parts, 2):
        assert not one.keys() & other.keys()

    # the class without copies is split as if there were none in the other
    shutil.rmtree(photos / "daisy")
    works(split("--photos", photos, "--data-path", tmp_path / "roses", "--seed", seed))
    assert names(tmp_path / "roses/val/roses") == names(default / "val/roses")


def test_few_photos_with_many_copies(tmp_path: Path) -> None:
    """No part is left empty, and the validation set is the same with and without --test."""
    photos = draw_photos(tmp_path / "photos", daisy=3, roses=2)
    for i in range(27):
        copy_photo(photos, "daisy/daisy_01.jpg", f"daisy/copy_{i}.jpg")
    for number in (0, 1):
        copy_photo(photos, f"roses/roses_0{number}.jpg", f"roses/copy_{number}.jpg")
    default = tmp_path / "default"
    tested = tmp_path / "tested"
    works(split("--photos", photos, "--data-path", default))
    assert counts(default, "val") == {"daisy": 1, "roses": 2}
    fails(split("--photos", photos, "--data-path", tested, "--test"), "roses", "copies")
    assert names(tested) == []

    shutil.rmtree(photos / "roses")
    works(split("--photos", photos, "--data-path", tested, "--test"))
    assert names(tested / "val/daisy") == names(default / "val/daisy")
    assert counts(tested, "test") == {"daisy": 1}
    assert counts(tested, "train") == {"daisy": 28}


def test_copies_of_one_photo_cannot_be_split(tmp_path: Path) -> None:
    photos = draw_photos(tmp_path / "photos", daisy=1, roses=3)
    copy_photo(photos, "daisy/daisy_00.jpg", "daisy/copy.jpg")
    fails(split("--photos", photos, "--data-path", tmp_path / "data"), "daisy", "train/", "copies")
    assert names(tmp_path / "data") == []


def test_the_same_photo_in_two_classes(tmp_path: Path) -> None:
    photos = draw_photos(tmp_path / "photos", daisy=30, roses=20)
    for i in range(20):
        copy_photo(photos, f"daisy/daisy_{i:02d}.jpg", f"roses/roses_{i:02d}.jpg")
    result = works(split("--photos", photos, "--data-path", tmp_path, "--test"))
    line = "in more than one class: 20, such as daisy/daisy_00.jpg and roses/roses_00.jpg"
    assert result.out.count(line) == 1
    assert "copies of other photos" not in result.out
    for part in ("val", "test"):
        assert counts(tmp_path, part) == {"daisy": 3, "roses": 2}
        pairs = [found for found in names_by_content(tmp_path / part).values() if len(found) == 2]
        assert len(pairs) == 2


def test_a_test_set(tmp_path: Path) -> None:
    """It is taken from the default split's training set, and the validation set stays as it is."""
    photos = draw_photos(tmp_path / "photos", daisy=30, roses=9, tulips=3)
    default = tmp_path / "default"
    tested = tmp_path / "tested"
    works(split("--photos", photos, "--data-path", default))
    result = works(split("--photos", photos, "--data-path", tested, "--test"))
    assert "daisy: 24 for training, 3 for validation, 3 for testing" in result.out
    assert f"5 images in {tested / 'test'}" in result.out
    assert counts(tested, "test") == {"daisy": 3, "roses": 1, "tulips": 1}
    assert files(tested / "val") == files(default / "val")
    train = files(tested / "train")
    test = files(tested / "test")
    assert not train.keys() & test.keys()
    assert {**train, **test} == files(default / "train")

    other = tmp_path / "other"
    works(split("--photos", photos, "--data-path", other, "--test", "--seed", 1))
    assert files(other / "test") != test

    fails(split("--photos", photos, "--data-path", tested, "--test"), "test", "--overwrite")
    shutil.rmtree(tested / "train")
    shutil.rmtree(tested / "val")
    fails(split("--photos", photos, "--data-path", tested, "--test"), "test", "--overwrite")
    assert files(tested) == {f"test/{name}": content for name, content in test.items()}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_an_earlier_test_set_is_kept(seed: int, tmp_path: Path) -> None:
    """A run without --test uses none of its photos, whatever they are called now."""
    photos = draw_photos(tmp_path / "photos", daisy=30, roses=9)
    data = tmp_path / "data"
    works(split("--photos", photos, "--data-path", data, "--test"))
    (data / "test/daisy").rename(data / "test/renamed")
    (data / "test/notes.txt").write_text("mine", encoding="utf-8")
    before = files(data / "test")
    train_before = files(data / "train")
    result = works(split("--photos", photos, "--data-path", data, "--seed", seed, "--overwrite"))
    assert f"{data / 'test'} is kept as it is: 4 of these photos" in result.out
    assert files(data / "test") == before
    assert counts(data, "train") == {"daisy": 24, "roses": 7}
    assert counts(data, "val") == {"daisy": 3, "roses": 1}
    used = names_by_content(data / "train", data / "val")
    assert not used.keys() & names_by_content(data / "test").keys()
    assert (files(data / "train") == train_before) is (seed == 0)

    works(split("--photos", photos, "--data-path", data, "--test", "--overwrite"))
    assert names(data / "test") == ["daisy", "roses"]


def test_a_test_set_that_leaves_too_few(tmp_path: Path) -> None:
    photos = draw_photos(tmp_path / "photos", daisy=3, roses=3)
    data = tmp_path / "data"
    shutil.copytree(photos / "roses", data / "test" / "mine")
    before = files(data)
    fails(split("--photos", photos, "--data-path", data), "roses", f"3 photos lie in {data}")
    assert files(data) == before


@pytest.mark.slow
@pytest.mark.parametrize("error", [Killed, KeyboardInterrupt, OSError])
@pytest.mark.parametrize(
    ("before", "options"),
    [
        ("train val", []),
        ("val", []),
        ("", []),
        ("train val test", []),
        ("train val test", ["--test"]),
        ("test", ["--test"]),
        ("", ["--test"]),
    ],
    ids=str,
)
def test_a_split_stopped_at_any_moment(
    before: str, options: list[str], error: type[BaseException], tmp_path: Path
) -> None:
    """All folders are as before, or new: at once, or when it was killed, after the next start."""
    operations = [(Path, "rename"), (Path, "mkdir"), (os, "mkdir"), (os, "rmdir"), (os, "unlink")]
    operations.append((shutil, "copyfile"))
    photos = draw_photos(tmp_path / "photos", daisy=3)
    data = tmp_path / "data"
    split_anew = ["--photos", photos, "--data-path", data, "--overwrite", *options]
    next_start = ["--photos", tmp_path / "absent", "--data-path", data, "--overwrite"]
    users_own = ["split.new/train", "split.tmp/val", "unpack.tmp"]
    allowed = {"train", "val", "split.new", "split.tmp", "unpack.tmp"}
    if "test" in before or options:
        allowed.add("test")

    def begin() -> dict[str, bytes]:
        shutil.rmtree(data, ignore_errors=True)
        for folder in [*before.split(), *users_own]:
            (data / folder).mkdir(parents=True)
            (data / folder / "mine.txt").write_text("mine", encoding="utf-8")
        return files(data)

    old = begin()
    works(split(*split_anew))
    new = files(data)
    assert ("test/mine.txt" in new) is ("test" in before and not options)
    stopped = True
    at = 0
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
            assert {*names(data)} <= allowed
    assert at > 12


def test_one_run_at_a_time_and_its_log(tmp_path: Path) -> None:
    """A run that waits for a server has its line in the log, and keeps a second one out."""
    data = tmp_path / "data"
    photos = draw_photos(tmp_path / "photos", daisy=4)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/photos.tgz"
        code = f"import split_data; split_data.URL = {url!r}; split_data.main()"
        command = [sys.executable, "-c", code, "--download", "--data-path", str(data)]
        environment = {**os.environ, "PYTHONUNBUFFERED": "", "PYTHONPATH": str(SPLIT.parent)}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as first:
            assert url in first.stdout.readline()
            fails(split("--photos", photos, "--data-path", data), data)
            first.kill()
    works(split("--photos", photos, "--data-path", data))
    assert names(data) == ["train", "val"]


def copy_scripts(folder: Path) -> Path:
    """A copy of the scripts, and the path of split_data.py in it."""
    folder.mkdir()
    for script in SPLIT.parent.glob("*.py"):
        shutil.copy(script, folder)
    return folder / SPLIT.name


@pytest.mark.parametrize("encoding", ["cp1252", "cp936"])
def test_a_console_without_the_letters_of_a_path(encoding: str, tmp_path: Path) -> None:
    """It gets them escaped, in --help, in errors, and from demo_flowers.py."""
    script = copy_scripts(tmp_path / "课程🌷")
    environment = {**os.environ, "PYTHONIOENCODING": f"{encoding}:strict", "PYTHONUTF8": "0"}
    run = functools.partial(subprocess.run, env=environment, capture_output=True, check=False)

    shown = run([sys.executable, script, "--help"])
    assert shown.returncode == 0, shown.stderr
    assert b"\\U0001f337" in shown.stdout
    failed = run([sys.executable, script])
    assert failed.returncode == 1
    assert failed.stderr.startswith(b"error: ")
    assert b"\\U0001f337" in failed.stderr
    assert failed.stderr.count(b"\n") == 1
    folder = script.with_name("demo")
    options = ["--images-per-class", "1"]
    drawn = run([sys.executable, script.with_name("demo_flowers.py"), folder, *options])
    assert drawn.returncode == 0, drawn.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="names are Unicode on Windows and macOS")
def test_names_that_are_not_utf_8(tmp_path: Path) -> None:
    photos = draw_photos(tmp_path / "photos", daisy=3)
    folder = photos / os.fsdecode("玫瑰".encode("gbk"))
    folder.mkdir()
    for i in range(4):
        name = os.fsdecode(f"照片{i}.jpg".encode("gbk"))
        draw_image((200, 50, 40), seed=i).save(folder / name)
    copy_photo(folder, name, f"copy_of_{name}")
    (folder / os.fsdecode("坏.jpg".encode("gbk"))).write_bytes(b"no image")
    expected = {name: content for name, content in files(photos).items() if content != b"no image"}
    result = works(run_here(SPLIT, "--photos", photos, "--data-path", tmp_path, "--test"))
    assert files(tmp_path / "train", tmp_path / "val", tmp_path / "test") == expected
    assert "copies of other photos: 1" in result.out
    options = ["--photos", photos, "--data-path", tmp_path / "again", "--test"]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    command = [sys.executable, SPLIT, *options]
    assert subprocess.run(command, env=environment, capture_output=True).returncode == 0
    assert files(tmp_path / "again/val") == files(tmp_path / "val")


def test_the_next_command_is_what_to_type(tmp_path: Path, monkeypatch: Patch) -> None:
    script = copy_scripts(tmp_path / "data_set")
    lesson = tmp_path / "Test9"
    lesson.mkdir()
    monkeypatch.chdir(lesson)
    start = f"python {Path('..', 'data_set', 'split_data.py')}"
    fails(run_here(script), f"{start} --download ", f"{start} --demo ")
    options = ["--data-path", "my data", "--seed", 3, "--test", "--overwrite"]
    typed = '--data-path "my data" --seed 3 --test --overwrite'
    fails(run_here(script, *options), f"{start} --download {typed} ", f"{start} --demo {typed} ")

    result = run_here(script, "--photos", "absent", "--data-path", "my data")
    fails(result, "absent")
    assert "--demo" not in result.err

    Path("my data/flower_photos").mkdir()  # nothing is fetched, as the folder is there
    fails(run_here(script, "--download", "--data-path", "my data"), "delete", "--download")

    for name in ("Test1_b", "Test2_c", "Test3_d"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.py").touch()
    monkeypatch.setattr(split_data, "HERE", script.parent)
    train = Path("..", "Test2_c", "train.py")
    for folder in ("Test9", "Test1_b"):  # Test1 learns from other pictures
        monkeypatch.chdir(tmp_path / folder)
        assert split_data.next_command() == f"python {train}, or another lesson's"
    monkeypatch.chdir(tmp_path / "Test3_d")
    assert split_data.next_command() == "python train.py"

    def on_another_drive(path: str) -> str:
        raise ValueError("path is on mount 'C:', start on mount 'D:'")

    monkeypatch.setattr(os.path, "relpath", on_another_drive)
    fails(run_here(script), f"python {script.resolve()} --demo ")


def test_the_demo_set(tmp_path: Path, monkeypatch: Patch) -> None:
    for name, seed in {"a": 0, "b": 0, "c": 1}.items():
        demo_flowers.draw_demo_set(tmp_path / name, images_per_class=8, seed=seed)
    pictures, again, others = (files(tmp_path / name) for name in "abc")
    assert pictures == again
    assert names(tmp_path / "a") == sorted(demo_flowers.FLOWERS)
    assert len({*pictures.values(), *others.values()}) == 2 * 5 * 8  # no two alike
    for content in pictures.values():
        assert 240 <= max(Image.open(io.BytesIO(content)).size) <= 500
    fails(run_here(SPLIT.with_name("demo_flowers.py"), tmp_path / "a"))
    assert len(names(tmp_path)) == 3


def test_the_demo_set_is_drawn_and_split_once(tmp_path: Path, monkeypatch: Patch) -> None:
    ten_each = functools.partial(demo_flowers.draw_demo_set, images_per_class=10)
    monkeypatch.setattr(split_data, "draw_demo_set", ten_each)
    data = tmp_path / "data"
    works(split("--demo", "--data-path", data))
    assert len(files(data / "train")) == 45
    assert len(files(data / "val")) == 5
    before = files(data)
    again = works(split("--demo", "--data-path", data))
    assert (again.out + again.err).count("\n") == 1
    assert files(data) == before

    fails(split("--demo", "--test", "--data-path", data), "--overwrite")  # there is no test/ yet
    works(split("--demo", "--test", "--data-path", data, "--overwrite"))
    assert len(files(data / "test")) == 5
    before = files(data)
    for options in (["--test"], []):
        again = works(split("--demo", *options, "--data-path", data))
        assert (again.out + again.err).count("\n") == 1
        assert files(data) == before

    next((data / "val").rglob("*.jpg")).unlink()  # it is not the demo set's any more
    fails(split("--demo", "--data-path", data), "--overwrite")


def make_archive(
    path: Path, patch: Patch, *odd: tarfile.TarInfo, length: int | None = None
) -> Path:
    """An archive laid out as the official one, and taken for it.

    It can have odd members, or be cut off at `length`.
    """
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
    archive = make_archive(tmp_path / "photos.tgz", monkeypatch)
    data = tmp_path / "data"
    result = works(split("--data-path", data, "--download"))
    assert split_data.URL in result.out.splitlines()[0]
    assert names(data) == ["flower_photos", "flower_photos.tgz", "train", "val"]
    assert len(files(data / "val")) == 2

    new = ["--data-path", tmp_path / "new", "--download"]
    archive.write_bytes(b"<html>")
    fails(split(*new), split_data.URL, "--demo")
    archive.unlink()
    fails(split(*new), split_data.URL, "--demo")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(split_data, "URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(split_data, "TIMEOUT", 0.2)
        fails(split(*new), split_data.URL, "--demo")
    assert names(tmp_path / "new") == []

    shutil.rmtree(data / "flower_photos")  # the archive that lies there is used
    works(split("--data-path", data, "--download", "--overwrite"))


def odd_members() -> list[tarfile.TarInfo]:
    """Members that no archive of photos has: outside its folder, links, impossible names."""
    members = [
        tarfile.TarInfo("other"),
        tarfile.TarInfo(f"{ROOT.anchor}absolute"),
        tarfile.TarInfo("flower_photos/../../outside"),
        tarfile.TarInfo("flower_photos" + "/deep" * 5000),
    ]
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE):
        member = tarfile.TarInfo("flower_photos/no file")
        member.type = kind
        member.linkname = "../../nothing"
        members.append(member)
    nul_in_its_name = tarfile.TarInfo("flower_photos/no file")
    nul_in_its_name.pax_headers = {"path": "flower_photos/a\0b"}
    members.append(nul_in_its_name)
    no_numbers = tarfile.TarInfo("flower_photos/no file")
    no_numbers.type = tarfile.SYMTYPE
    no_numbers.linkname = "../../nothing"
    no_numbers.pax_headers = {"size": "NaN", "mtime": "NaN"}
    members.append(no_numbers)
    return members


@pytest.mark.parametrize("length", [None, 900], ids=["whole", "cut off"])
def test_bad_archives(length: int | None, tmp_path: Path, monkeypatch: Patch) -> None:
    """Each is refused, and would be if it were the official one."""
    for member in odd_members():
        make_archive(tmp_path / "flower_photos.tgz", monkeypatch, member, length=length)
        fails(split("--data-path", tmp_path, "--download"))
        monkeypatch.setattr(split_data, "MD5", "0" * 32)
        fails(split("--data-path", tmp_path, "--download"), "flower_photos.tgz", "delete")
        assert names(tmp_path) == ["flower_photos.tgz"]
        assert not (tmp_path.parent / "outside").exists()


@pytest.mark.parametrize(
    "parts",
    [("training_set", "test_set"), ("seg_train", "seg_test"), ("dev", "eval"), ("train1", "test1")],
)
def test_parts_by_other_names_are_no_classes(parts: tuple[str, str], tmp_path: Path) -> None:
    for part in parts:
        draw_photos(tmp_path / "photos" / part, daisy=2, roses=2)
    fails(split("--photos", tmp_path / "photos", "--data-path", tmp_path / "data"), *parts)


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_linked_folder_is_left_out_and_named(tmp_path: Path) -> None:
    photos = draw_photos(tmp_path / "photos", daisy=3, roses=3)
    (photos / "daisy" / "more").symlink_to(photos / "roses", target_is_directory=True)
    (line,) = works(split("--photos", photos, "--data-path", tmp_path / "data")).lines(
        "left out of"
    )
    assert "daisy: more, a link" in line
