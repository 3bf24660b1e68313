"""data_set/: the split, the demo set, the archive."""

import io
import shutil
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from conftest import ROOT, Result, draw_image, fails, run_alone, run_here
from PIL import Image
from torchvision.datasets.utils import calculate_md5

SPLIT = ROOT / "data_set" / "split_data.py"


def draw_photos(folder: Path, counts: dict[str, int]) -> Path:
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            draw_image((200, 50, 40), seed=i).save(folder / name / f"{name}_{i:02d}.jpg")
    return folder


def listing(folder: Path) -> list[str]:
    """What a folder holds, without the file that locks it."""
    return sorted(path.name for path in folder.iterdir() if path.name != ".split_data.lock")


def names(folder: Path) -> dict[str, set[str]]:
    return {sub.name: {path.name for path in sub.iterdir()} for sub in folder.iterdir() if sub.is_dir()}


def split(data_path: Path, *options: object) -> Result:
    return run_here(SPLIT, "--data-path", data_path, *options)


@pytest.fixture
def split_module(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """split_data as a module, so that the MD5 of a drawn archive can be put in place of the official one."""
    monkeypatch.syspath_prepend(str(SPLIT.parent))
    monkeypatch.delitem(sys.modules, "split_data", raising=False)
    import split_data

    def call(*options: object) -> str:
        monkeypatch.setattr(sys, "argv", ["split_data.py", *map(str, options)])
        try:
            split_data.main()
        except SystemExit as end:
            return str(end)
        return ""

    split_data.call = call
    yield split_data
    sys.modules.pop("split_data")


def test_one_photo_in_ten_of_each_class_goes_to_val(tmp_path: Path) -> None:
    photos = draw_photos(tmp_path / "flower_photos", {"daisy": 29, "roses": 10, "tulips": 3})
    before = names(photos)
    result = split(tmp_path)
    assert result.status == 0, result.err
    train, val = names(tmp_path / "train"), names(tmp_path / "val")
    assert {name: len(files) for name, files in val.items()} == {"daisy": 2, "roses": 1, "tulips": 1}
    for name, files in before.items():
        assert train[name] | val[name] == files
        assert not train[name] & val[name]
    assert names(photos) == before
    assert "38 images in" in result.out and "4 images in" in result.out
    assert listing(tmp_path) == ["flower_photos", "train", "val"]


def test_the_split_is_the_same_everywhere(tmp_path: Path) -> None:
    """The names that seed 0 chooses, and whatever the order in which the file system lists them."""
    draw_photos(tmp_path / "a" / "flower_photos", {"daisy": 30})
    (tmp_path / "b" / "flower_photos" / "daisy").mkdir(parents=True)
    for path in sorted((tmp_path / "a" / "flower_photos" / "daisy").iterdir(), reverse=True):
        shutil.copy(path, tmp_path / "b" / "flower_photos" / "daisy")
    split(tmp_path / "a")
    split(tmp_path / "b")
    assert names(tmp_path / "a" / "val") == names(tmp_path / "b" / "val")
    assert names(tmp_path / "a" / "val") == {"daisy": {"daisy_02.jpg", "daisy_13.jpg", "daisy_22.jpg"}}
    split(tmp_path / "b", "--overwrite", "--seed", 1)
    assert names(tmp_path / "b" / "val") != names(tmp_path / "a" / "val")


def test_what_cannot_be_trained_on_stays_where_it_is(tmp_path: Path) -> None:
    photos = draw_photos(tmp_path / "flower_photos", {"daisy": 4, "roses": 4})
    (photos / "LICENSE.txt").write_text("CC-BY", encoding="utf-8")
    (photos / ".ipynb_checkpoints").mkdir()
    (photos / "daisy" / "Thumbs.db").write_bytes(b"\0" * 100)
    (photos / "daisy" / "._daisy_00.jpg").write_bytes(b"\0" * 100)
    whole = (photos / "daisy" / "daisy_00.jpg").read_bytes()
    (photos / "daisy" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    Image.new("1", (14_000, 13_000)).save(photos / "daisy" / "too large.png")
    Image.new("L", (11_000, 9_000)).save(photos / "daisy" / "phone.jpg")  # above Pillow's warning, which is no error
    (photos / "daisy" / "a.heic").write_bytes(b"x")
    for folder in ("__MACOSX", "@eaDir", "$RECYCLE.BIN", "one", "two"):
        (photos / "daisy" / folder).mkdir()
        shutil.copy(photos / "daisy" / "daisy_00.jpg", photos / "daisy" / folder / "same.jpg")
    shutil.copy(photos / "daisy" / "daisy_00.jpg", photos / "daisy" / "one_same.jpg")
    for ending in ("jfif", "jpe", "avif", "gif", "dib"):
        kind = {"jfif": "JPEG", "jpe": "JPEG"}.get(ending, ending.upper())
        draw_image((9, 99, 9), 1).save(photos / "daisy" / f"x.{ending}", format=kind)
    before = names(photos)
    result = split(tmp_path)
    assert result.status == 0, result.err
    assert "cut.jpg" in result.out and "too large.png" in result.out and result.err == ""
    assert "2 files" in result.out and "Thumbs.db" in result.out
    taken = names(tmp_path / "train")["daisy"] | names(tmp_path / "val")["daisy"]
    extra = {
        "x.jfif",
        "x.jpe",
        "x.avif",
        "x.gif",
        "x.dib",
        "phone.jpg",
        "one_same.jpg",
        "one_same_2.jpg",
        "two_same.jpg",
    }
    assert taken == {f"daisy_{i:02d}.jpg" for i in range(4)} | extra
    result = run_here(SPLIT, "--check", photos)
    assert result.status == 1 and "cut.jpg" in result.out and "too large.png" in result.out and "2 of " in result.err
    assert run_here(SPLIT, "--check", tmp_path / "train").status == 0
    assert run_here(SPLIT, "--check", tmp_path / "absent").status == 1
    assert set(names(tmp_path / "train")) == {"daisy", "roses"}
    assert names(photos) == before


def test_existing_folders_are_replaced_only_when_told_to_and_a_full_disk_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_photos(tmp_path / "flower_photos", {"daisy": 4})
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "mine.txt").write_text("keep", encoding="utf-8")
    fails(split(tmp_path), "--overwrite")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        fails(split(tmp_path, "--overwrite"), "No space left")
    assert listing(tmp_path) == ["flower_photos", "val"] and listing(tmp_path / "val") == ["mine.txt"]
    assert split(tmp_path, "--overwrite").status == 0
    assert listing(tmp_path / "val") == ["daisy"] and len(listing(tmp_path / "train" / "daisy")) == 3


def train_and_val(data: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(data)): path.read_bytes() for path in sorted(data.glob("[tv]*/**/*")) if path.is_file()
    }


@pytest.mark.parametrize("before", [("train", "val"), ("train",), ("val",), ()])
@pytest.mark.parametrize("killed", [False, True])
def test_a_split_stopped_at_any_moment_loses_nothing(
    before: tuple[str, ...], killed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped by Ctrl-C, train/ and val/ are as they were; killed, they are so at the start of the next run."""
    photos = draw_photos(tmp_path / "photos", {"daisy": 4})
    rename, calls = Path.rename, []

    def stop(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) == at or (killed and len(calls) > at):  # one that was killed puts nothing back
            raise KeyboardInterrupt
        return rename(self, target)

    for at in range(1, 10):
        data = tmp_path / str(at)
        for part in before:
            (data / part).mkdir(parents=True)
            (data / part / "mine.txt").write_text(part, encoding="utf-8")
        old = train_and_val(data) if before else {}
        calls.clear()
        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", stop)
            if killed:
                patch.setattr(shutil, "rmtree", lambda *args, **options: None)
            result = split(data, "--photos", photos, "--overwrite")
        if result.status == 0:
            break
        assert result.status == 130 and result.err.count("\n") == 1
        if killed:
            assert split(data, "--photos", tmp_path / "absent", "--overwrite").status == 1
        assert train_and_val(data) == old
        assert listing(data) == sorted(before)
    assert at == 5 + len(before)  # it was stopped at each of the renames, and then at none


@pytest.mark.parametrize("place", ["train", "val", "train/daisy"])
def test_photos_that_would_be_replaced_are_refused(place: str, tmp_path: Path) -> None:
    photos = draw_photos(tmp_path / place, {"daisy": 4})
    (photos / "labels.txt").write_text("mine", encoding="utf-8")
    before = train_and_val(tmp_path)
    result = split(tmp_path, "--photos", photos, "--overwrite")
    assert result.status == 1 and result.err.count("\n") == 1 and "would be replaced" in result.err
    assert train_and_val(tmp_path) == before


@pytest.mark.parametrize(
    ("photos", "expected"),
    [
        (None, ["--download", "--demo", "put photos there"]),
        ({}, ["no photos"]),
        ({"daisy": 0}, ["no photos"]),
        ({"daisy": 5, "roses": 1}, ["roses", "2 are needed"]),
    ],
)
def test_too_few_photos_get_one_line(tmp_path: Path, photos: dict[str, int] | None, expected: list[str]) -> None:
    if photos is not None:
        (tmp_path / "flower_photos").mkdir()
        draw_photos(tmp_path / "flower_photos", photos)
    result = split(tmp_path)
    assert result.status == 1 and result.err.count("\n") == 1
    assert all(words in result.err for words in expected)
    assert not (tmp_path / "train").exists() and not (tmp_path / "val").exists()


def test_the_demo_set(tmp_path: Path) -> None:
    sys.path.insert(0, str(SPLIT.parent))
    try:
        from demo_flowers import FLOWERS, draw_demo_set
    finally:
        sys.path.remove(str(SPLIT.parent))
    draw_demo_set(tmp_path / "a", images_per_class=12)
    draw_demo_set(tmp_path / "b", images_per_class=12)
    draw_demo_set(tmp_path / "c", images_per_class=12, seed=1)
    assert set(names(tmp_path / "a")) == set(FLOWERS)
    pictures = {path.relative_to(tmp_path / "a"): path.read_bytes() for path in (tmp_path / "a").rglob("*.jpg")}
    assert len(set(pictures.values())) == 60  # no two alike
    assert all((tmp_path / "b" / path).read_bytes() == content for path, content in pictures.items())
    assert all((tmp_path / "c" / path).read_bytes() != content for path, content in pictures.items())
    sizes = {Image.open(io.BytesIO(content)).size for content in pictures.values()}
    assert len(sizes) > 20 and all(240 <= max(size) <= 500 for size in sizes)


def test_demo_option_draws_and_splits(tmp_path: Path) -> None:
    draw_photos(tmp_path / "flower_photos", {"mine": 3})
    result = split(tmp_path, "--demo")
    assert result.status == 0, result.err
    assert sum(map(len, names(tmp_path / "train").values())) == 5 * 180
    assert sum(map(len, names(tmp_path / "val").values())) == 5 * 20
    assert "mine" not in names(tmp_path / "train")
    before = train_and_val(tmp_path)
    assert split(tmp_path, "--demo").status == 0  # the README's line, typed twice
    assert train_and_val(tmp_path) == before
    assert split(tmp_path).status == 1  # but not the flower photos in place of the demo set


def test_two_splits_at_once_do_not_mix_and_the_users_folders_stay(
    tmp_path: Path, split_module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_photos(tmp_path / "flower_photos", {"daisy": 4})
    for name in ("split.tmp", "split.new", "unpack.tmp"):
        (tmp_path / name).mkdir()
    copy, second = shutil.copyfile, []

    def meanwhile(source: Path, target: Path) -> None:
        if not second:
            second.append(run_alone(SPLIT, "--data-path", tmp_path, "--overwrite"))
        copy(source, target)

    monkeypatch.setattr(shutil, "copyfile", meanwhile)
    assert split_module.call("--data-path", tmp_path) == ""
    fails(second[0], tmp_path)
    assert listing(tmp_path) == ["flower_photos", "split.new", "split.tmp", "train", "unpack.tmp", "val"]


# ---------------------------------------------------------------- the archive


def make_archive(path: Path, *extra: tarfile.TarInfo) -> str:
    """An archive as the official one is laid out, and its MD5."""
    with tarfile.open(path, "w:gz") as tar:
        for name in ("daisy", "roses"):
            for i in range(3):
                data = io.BytesIO()
                draw_image((200, 50, 40), seed=i).save(data, "JPEG")
                info = tarfile.TarInfo(f"flower_photos/{name}/{i}.jpg")
                info.size = len(data.getvalue())
                tar.addfile(info, io.BytesIO(data.getvalue()))
        for info in extra:
            tar.addfile(info, io.BytesIO(b"x" * info.size))
    return calculate_md5(path)


def test_an_archive_that_lies_there_is_used(
    tmp_path: Path, split_module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    md5 = make_archive(tmp_path / "flower_photos.tgz")
    monkeypatch.setattr(split_module, "MD5", md5)
    assert split_module.call("--data-path", tmp_path, "--download") == ""
    assert len(names(tmp_path / "train")["daisy"]) == 2
    assert listing(tmp_path) == ["flower_photos", "flower_photos.tgz", "train", "val"]


def test_the_archive_is_fetched_when_absent(
    tmp_path: Path, split_module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    md5 = make_archive(tmp_path / "photos.tgz")
    monkeypatch.setattr(split_module, "MD5", md5)
    asked: list[str] = []

    def fetch(url: str, root: str, filename: str, md5: str) -> None:
        asked.append(md5)
        shutil.copy(tmp_path / "photos.tgz", Path(root, filename))
        if "other" in root:
            raise RuntimeError("File not found or corrupted.")  # torchvision's words for another MD5

    monkeypatch.setattr(split_module, "download_url", fetch)
    assert split_module.call("--data-path", tmp_path / "data", "--download") == ""
    assert listing(tmp_path / "data") == ["flower_photos", "flower_photos.tgz", "train", "val"] and asked == [md5]
    message = split_module.call("--data-path", tmp_path / "other", "--download")
    assert message.startswith("error: ") and split_module.URL in message and "\n" not in message
    assert listing(tmp_path / "other") == []


def test_bad_archives(tmp_path: Path, split_module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "flower_photos.tgz"
    make_archive(archive)
    assert "not the official archive" in split_module.call("--data-path", tmp_path, "--download")

    whole = archive.read_bytes()
    bad = {
        "half": whole[: len(whole) // 2],
        "empty": b"",
        "text": b"no archive",
        "nul": None,
        "deep": None,
        "other": None,
    }
    monkeypatch.setattr(split_module, "check_integrity", lambda path, md5: True)
    for name, content in bad.items():
        if content is not None:
            archive.write_bytes(content)
        elif name == "other":
            with tarfile.open(archive, "w:gz") as tar:
                tar.addfile(tarfile.TarInfo("other/file"))
        else:
            info = tarfile.TarInfo("flower_photos/" + ("a/" * 5000 if name == "deep" else "") + "x")
            info.size, info.pax_headers = 1, {"mtime": "nan\0"} if name == "nul" else {}
            make_archive(archive, info)
        message = split_module.call("--data-path", tmp_path, "--download")
        if name != "nul":
            assert message.startswith("error: ") and archive.name in message and "\n" not in message, name
            assert listing(tmp_path) == ["flower_photos.tgz"]
        for folder in ("flower_photos", "train", "val"):
            shutil.rmtree(tmp_path / folder, ignore_errors=True)

    links = []
    for name in ("../../outside.txt", "link", "hard", "pipe"):  # what is no plain file in its place is passed over
        links.append(tarfile.TarInfo(f"flower_photos/{name}"))
        links[-1].linkname = "flower_photos/nothing"
    links[0].size = 3
    links[1].type, links[2].type, links[3].type = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE
    make_archive(archive, *links)
    assert split_module.call("--data-path", tmp_path, "--download", "--overwrite") == ""
    assert listing(tmp_path / "flower_photos") == ["daisy", "roses"]
    assert not (tmp_path.parent / "outside.txt").exists() and not (tmp_path / "outside.txt").exists()


def test_too_little_disk(tmp_path: Path, split_module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    draw_photos(tmp_path / "flower_photos", {"daisy": 4})
    assert "too little disk" in split_module.call("--data-path", tmp_path)
    assert "too little disk" in split_module.call("--data-path", tmp_path / "new", "--download")
    assert listing(tmp_path) == ["flower_photos", "new"]
    assert listing(tmp_path / "new") == []
