"""Whatever a learner feeds the scripts: one line that says what is wrong, status 1 (2 for options), no traceback."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import FLOWER_LESSONS, LESSONS, Result, copy_lesson, draw_data_set, draw_image, load, run_here
from PIL import Image
from torchvision.datasets import CIFAR10
from torchvision.models import googlenet


def assert_one_line(result: Result, *words: str) -> None:
    """The script ended with status 1 and one line that holds all the words."""
    assert result.status == 1, result
    assert result.err.startswith("error: ") and result.err.count("\n") == 1, result.err
    assert "Traceback" not in result.err
    for word in words:
        assert word in result.err


# ---------------------------------------------------------------- options


@pytest.mark.parametrize("folder", LESSONS)
def test_bad_options_end_with_status_2(folder: str, tmp_path: Path) -> None:
    script = copy_lesson(folder, tmp_path) / "train.py"
    for option, value in (
        ("--epochs", "0"),
        ("--epochs", "three"),
        ("--batch-size", "0"),
        ("--batch-size", "9" * 20),
        ("--lr", "-0.1"),
        ("--lr", "nan"),
        ("--lr", "inf"),
        ("--lr", "0"),
        ("--workers", "-1"),
        ("--seed", "-1"),
        ("--seed", str(2**70)),
        ("--device", "cuda:99"),
        ("--device", "abacus"),
        ("--device", "cpu:1"),
        ("--device", "cpu:-1"),
        ("--device", "cpu:"),
        ("--device", "cpu:00"),
        ("--device", ""),
    ):
        result = run_here(script, option, value)
        assert result.status == 2, (option, value)
        assert result.err.splitlines()[-1].startswith(f"train.py: error: argument {option}: "), result.err
        assert value in result.err
    assert not list(script.parent.glob("*.pth"))


def test_a_figure_of_no_known_kind(tmp_path: Path) -> None:
    for folder in LESSONS:
        result = run_here(copy_lesson(folder, tmp_path) / "predict.py", "--save", "figure.txt")
        assert result.status == 2 and "--save" in result.err and ".png" in result.err


@pytest.mark.parametrize(("folder", "option"), [("Test3_vggnet", "vgg12"), ("Test5_resnet", "resnet35")])
def test_unknown_model_names_end_with_the_known_ones(folder: str, option: str, tmp_path: Path) -> None:
    lesson = copy_lesson(folder, tmp_path)
    for script in ("train.py", "predict.py"):
        result = run_here(lesson / script, "--model-name", option)
        assert result.status == 2 and option[:3] in result.err and "choose from" in result.err


def test_frozen_layers_need_weights(tmp_path: Path) -> None:
    result = run_here(copy_lesson("Test5_resnet", tmp_path) / "train.py", "--freeze-layers", "--weights", "none")
    assert result.status == 2 and "--freeze-layers" in result.err


# ---------------------------------------------------------------- data for train.py


def remove(name: str) -> Callable[[Path], None]:
    return lambda data: shutil.rmtree(data / name)


def empty_class(data: Path) -> None:
    for path in (data / "train" / "red").iterdir():
        path.unlink()


def another_class(data: Path) -> None:
    (data / "val" / "red").rename(data / "val" / "crimson")


def text_as_image(data: Path) -> None:
    (data / "train" / "red" / "notes 花.jpg").write_text("not an image", encoding="utf-8")


def cut(path: Path) -> None:
    draw_image((10, 200, 30), seed=5).resize((200, 200)).save(path, quality=95)
    path.write_bytes(path.read_bytes()[:3000])


def truncated_train(data: Path) -> None:
    cut(data / "train" / "blue" / "cut.jpg")


def truncated_val(data: Path) -> None:
    cut(data / "val" / "blue" / "cut.jpg")


def one_class(data: Path) -> None:
    for part in ("train", "val"):
        shutil.rmtree(data / part / "red")


def no_classes(data: Path) -> None:
    shutil.rmtree(data / "train")
    (data / "train" / ".ipynb_checkpoints").mkdir(parents=True)


BAD_DATA: list[tuple[Callable[[Path], None], list[str]]] = [
    (lambda data: shutil.rmtree(data), ["no folder", "train", "--data-path", "split_data.py"]),
    (remove("train"), ["no folder", "train"]),
    (remove("val"), ["no folder", "val"]),
    (no_classes, ["one folder of images", ".jpg"]),
    (remove("val/red"), ["red", "val"]),
    (empty_class, ["red", "train"]),
    (another_class, ["crimson", "red"]),
    (one_class, ["one class", "blue"]),
    (text_as_image, ["notes 花.jpg", "not an image"]),
    (truncated_train, ["cut.jpg", "truncated"]),
    (truncated_val, ["cut.jpg", "truncated"]),
]


@pytest.mark.parametrize("folder", FLOWER_LESSONS)
@pytest.mark.parametrize(("spoil", "words"), BAD_DATA)
def test_bad_data(spoil: Callable[[Path], None], words: list[str], folder: str, tmp_path: Path) -> None:
    lesson = copy_lesson(folder, tmp_path)
    data = draw_data_set(tmp_path / "data")
    spoil(data)
    _, options, train_options = FLOWER_LESSONS[folder]
    reads_images = spoil in (text_as_image, truncated_train, truncated_val)
    for workers in (0, 2) if reads_images and folder == "Test2_alexnet" else (0,):
        result = run_here(
            lesson / "train.py", *options, *train_options, "--data-path", data, "--epochs", 1, "--workers", workers
        )
        assert_one_line(result, *words)
        assert not list(lesson.glob("*.pth*")) and not list(lesson.glob("*.json*"))


def test_cifar10_that_cannot_be_fetched(tmp_path: Path, cifar10: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = copy_lesson("Test1_official_demo", tmp_path) / "train.py"
    monkeypatch.setattr(CIFAR10, "url", (tmp_path / "absent.tar.gz").as_uri())
    (cifar10 / CIFAR10.base_folder / "data_batch_3").write_bytes(b"damaged")
    for root in (tmp_path / "empty", cifar10):
        result = run_here(script, "--data-path", root)
        assert_one_line(result, "CIFAR-10", "absent.tar.gz", str(root / "cifar-10-python.tar.gz"))


# ---------------------------------------------------------------- the output folder


@pytest.mark.parametrize("folder", LESSONS)
def test_an_output_folder_that_cannot_be_written(folder: str, tmp_path: Path, data_set: Path, cifar10: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    script = copy_lesson(folder, tmp_path) / "train.py"
    data = cifar10 if folder == "Test1_official_demo" else data_set
    options = FLOWER_LESSONS[folder][2] if folder in FLOWER_LESSONS else []
    result = run_here(script, *options, "--data-path", data, "--output-dir", tmp_path / "file" / "out")
    assert_one_line(result, "cannot write", "file")


def test_an_output_folder_with_another_nets_weights_for_other_classes(tmp_path: Path) -> None:
    """Both nets would share class_indices.json, and predict.py would give one the other's class names."""
    lesson = copy_lesson("Test5_resnet", tmp_path)
    cats = draw_data_set(tmp_path / "cats", classes=("persian", "siamese"))
    dogs = draw_data_set(tmp_path / "dogs", classes=("poodle", "pug"))
    options = ["--epochs", 1, "--weights", "none", "--workers", 0]
    for model in ("resnet18", "resnet50"):  # of the same classes they go together
        result = run_here(lesson / "train.py", *options, "--data-path", cats, "--model-name", model)
        assert result.status == 0, result.err
    before = {path: path.stat().st_mtime_ns for path in lesson.iterdir()}
    result = run_here(lesson / "train.py", *options, "--data-path", dogs, "--model-name", "resnet18")
    assert_one_line(result, "resNet50.pth", "other classes", "--output-dir")
    assert {path: path.stat().st_mtime_ns for path in lesson.iterdir()} == before
    (lesson / "resNet50_last.pth").unlink()  # the larger one, which predict.py does not need
    assert run_here(lesson / "train.py", *options, "--data-path", dogs, "--model-name", "resnet18").status == 1
    (lesson / "resNet50.pth").unlink()
    (lesson / "resnet50-pre.pth").touch()  # ImageNet weights are no one's
    assert run_here(lesson / "train.py", *options, "--data-path", dogs, "--model-name", "resnet18").status == 0
    for weights, name in (("resNet18.pth", "pug"), ("resNet18_previous.pth", "siamese")):
        photo = dogs / "val" / "pug" / "pug_0.jpg"
        result = run_here(lesson / "predict.py", photo, "--model-name", "resnet18", "--weights", lesson / weights)
        assert f"class: {name} " in result.out, result


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes", "--batch-size"),
        ("CUDA out of memory. Tried to allocate 1 bytes", "--batch-size"),
        ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", "--batch-size"),
        ("DataLoader worker (pid 7) is killed by signal: Killed.", "--workers"),
    ],
)
def test_too_little_memory(
    words: str, expected: str, tmp_path: Path, data_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(self: torch.optim.Adam, *args: object) -> None:
        raise RuntimeError(words)

    monkeypatch.setattr(torch.optim.Adam, "step", step)
    script = copy_lesson("Test2_alexnet", tmp_path) / "train.py"
    assert_one_line(run_here(script, "--data-path", data_set, "--workers", 0), expected)


@pytest.mark.parametrize("words", ["a mistake in the code", "Caught RuntimeError in DataLoader worker process 0."])
def test_an_error_of_ours_keeps_its_traceback(
    words: str, tmp_path: Path, data_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(self: torch.optim.Adam, *args: object) -> None:
        raise RuntimeError(words)

    monkeypatch.setattr(torch.optim.Adam, "step", step)
    script = copy_lesson("Test2_alexnet", tmp_path) / "train.py"
    with pytest.raises(RuntimeError, match=words):
        run_here(script, "--data-path", data_set, "--workers", 0)


def test_a_link_to_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = draw_data_set(tmp_path / "data")
    script = copy_lesson("Test2_alexnet", tmp_path) / "train.py"
    stat = Path.stat

    def gone(self: Path, **options: object) -> object:
        if self.name == "red_0.jpg":
            raise FileNotFoundError(2, "No such file or directory", str(self))
        return stat(self, **options)

    monkeypatch.setattr(Path, "stat", gone)
    assert_one_line(run_here(script, "--data-path", data), "red_0.jpg")


@pytest.mark.parametrize("folder", LESSONS)
def test_a_full_disk(
    folder: str, tmp_path: Path, data_set: Path, cifar10: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lesson = copy_lesson(folder, tmp_path)

    def save(state: object, path: Path) -> None:
        Path(path).write_bytes(b"half of it")
        raise RuntimeError("[enforce fail at inline_container.cc] . PytorchStreamWriter failed writing file\nmore")

    monkeypatch.setattr(torch, "save", save)
    _, options, train_options = FLOWER_LESSONS.get(folder, ("", [], []))
    data = cifar10 if folder == "Test1_official_demo" else data_set
    result = run_here(lesson / "train.py", *options, *train_options, "--data-path", data, "--workers", 0)
    assert_one_line(result, "cannot write", ".pth", "failed writing")
    assert not list(lesson.glob("*.pth*"))


# ---------------------------------------------------------------- predict.py


class Code:
    """Pickled, it asks for a file to be made when it is loaded."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.path,))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of Test2 with weights for two classes, as train.py leaves it. Tests copy what they change."""
    lesson = copy_lesson("Test2_alexnet", tmp_path_factory.mktemp("trained"))
    torch.manual_seed(0)
    torch.save(load("Test2_alexnet", "model").AlexNet(num_classes=2).state_dict(), lesson / "AlexNet.pth")
    (lesson / "class_indices.json").write_text('{"0": "blue", "1": "red"}', encoding="utf-8")
    draw_image((200, 50, 40), seed=1).save(lesson / "photo.jpg")
    return lesson


BAD_IMAGES: dict[str, tuple[Callable[[Path], None], list[str]]] = {
    "absent.jpg": (lambda path: None, ["no such image"]),
    "text.jpg": (lambda path: path.write_text("text", encoding="utf-8") and None, ["not an image"]),
    "empty.png": (lambda path: path.touch(), ["not an image"]),
    "cut.jpg": (cut, ["truncated"]),
    "bomb.png": (lambda path: Image.new("1", (20_000, 20_000)).save(path), ["pixels"]),
    "large.png": (lambda path: Image.new("1", (10_000, 10_000)).save(path), ["pixels"]),
    "float.tif": (lambda path: Image.new("F", (40, 40), 0.5).save(path), ["32 bits"]),
    "integer.tif": (lambda path: Image.new("I", (40, 40), 1_000_000).save(path), ["32 bits"]),
    "empty folder": (lambda path: path.mkdir(), ["no images"]),
}


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_bad_images(name: str, trained: Path, tmp_path: Path) -> None:
    make, words = BAD_IMAGES[name]
    make(tmp_path / name)
    assert_one_line(run_here(trained / "predict.py", tmp_path / name, "--save", tmp_path / "f.png"), name, *words)
    assert not (tmp_path / "f.png").exists()


def weights_of_another_net(path: Path) -> None:
    torch.save(load("Test1_official_demo", "model").LeNet().state_dict(), path)


def three_classes(path: Path) -> None:
    torch.save(load("Test2_alexnet", "model").AlexNet(num_classes=3).state_dict(), path)


def changed_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def one_key_missing(path: Path) -> None:
    state = torch.load(path, weights_only=True)
    del state["features.3.bias"]
    torch.save(state, path)


def one_key_too_many(path: Path) -> None:
    torch.save({**torch.load(path, weights_only=True), "extra": torch.zeros(1)}, path)


def number_instead_of_a_bias(path: Path) -> None:
    torch.save({**torch.load(path, weights_only=True), "classifier.6.bias": torch.tensor(1.0)}, path)


def counter_that_no_layer_has(path: Path) -> None:
    torch.save({**torch.load(path, weights_only=True), "bn.num_batches_tracked": torch.tensor(1)}, path)


def pickled_code(path: Path) -> None:
    path.write_bytes(pickle.dumps(Code(path.with_name("code was run"))))


def code_in_a_weights_file(path: Path) -> None:
    torch.save({"features.0.weight": Code(path.with_name("code was run"))}, path)


BAD_WEIGHTS: list[tuple[Callable[[Path], None], list[str]]] = [
    (lambda path: path.unlink(), ["no file"]),
    (lambda path: path.write_bytes(b""), ["damaged"]),
    (lambda path: path.write_text("text", encoding="utf-8") and None, ["damaged"]),
    (lambda path: path.write_bytes(path.read_bytes()[:100_000]) and None, ["damaged"]),
    (changed_byte, ["damaged"]),
    (weights_of_another_net, ["another net"]),
    (three_classes, ["3 classes", "the 2 of class_indices.json"]),
    (one_key_missing, ["another net", "features.3.bias"]),
    (one_key_too_many, ["another net", "extra"]),
    (pickled_code, ["not loaded"]),
    (code_in_a_weights_file, ["not loaded"]),
    (lambda path: torch.save(torch.zeros(3), path), ["no weights"]),
    (lambda path: torch.save({"features.0.weight": 1, "a": "b"}, path), ["no weights"]),
    (lambda path: torch.save({"net": {}, "optimizer": {}}, path), ["_last"]),
    (number_instead_of_a_bias, ["AlexNet.pth", "1 classes"]),
    (counter_that_no_layer_has, ["another net", "num_batches_tracked"]),
]


@pytest.mark.parametrize(("spoil", "words"), BAD_WEIGHTS)
def test_bad_weights(spoil: Callable[[Path], None], words: list[str], trained: Path, tmp_path: Path) -> None:
    for name in ("AlexNet.pth", "class_indices.json"):
        shutil.copy(trained / name, tmp_path)
    spoil(tmp_path / "AlexNet.pth")
    result = run_here(trained / "predict.py", trained / "photo.jpg", "--output-dir", tmp_path)
    assert_one_line(result, "AlexNet.pth", *words)
    assert not (tmp_path / "code was run").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ["no file"]),
        ("{", ["damaged"]),
        (b"\xff\xfe\xff", ["damaged"]),
        ("[]", ["should hold"]),
        ("{}", ["should hold"]),
        ('{"0": "blue", "2": "red"}', ["should hold"]),
        ('{"0": "blue", "1": 7}', ["should hold"]),
        ("[" * 100_000, ["damaged"]),
        (json.dumps({str(i): "x" for i in range(5)}), ["2 classes", "the 5 of class_indices.json"]),
    ],
)
def test_bad_class_indices(content: str | bytes | None, words: list[str], trained: Path, tmp_path: Path) -> None:
    shutil.copy(trained / "AlexNet.pth", tmp_path)
    if content is not None:
        path = tmp_path / "class_indices.json"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    result = run_here(trained / "predict.py", trained / "photo.jpg", "--output-dir", tmp_path)
    assert_one_line(result, "class_indices.json", *words)


@pytest.mark.parametrize("folder", LESSONS)
def test_every_predict_names_missing_and_wrong_weights(folder: str, tmp_path: Path) -> None:
    lesson = copy_lesson(folder, tmp_path)
    (lesson / "class_indices.json").write_text('{"0": "blue", "1": "red"}', encoding="utf-8")
    assert_one_line(run_here(lesson / "predict.py", "photo.jpg"), "no file", ".pth", "train.py")
    torch.save({"a.weight": torch.zeros(1)}, lesson / "other.pth")
    result = run_here(lesson / "predict.py", "photo.jpg", "--weights", lesson / "other.pth")
    assert_one_line(result, "other.pth", "another net")


def test_googlenet_says_why_torchvisions_file_does_not_fit(tmp_path: Path) -> None:
    lesson = copy_lesson("Test4_googlenet", tmp_path)
    names = {str(i): str(i) for i in range(1000)}
    (lesson / "class_indices.json").write_text(json.dumps(names), encoding="utf-8")
    torch.save(googlenet(init_weights=False).state_dict(), lesson / "theirs.pth")
    result = run_here(lesson / "predict.py", "photo.jpg", "--weights", lesson / "theirs.pth")
    assert_one_line(result, "theirs.pth", "batch norm")


def test_googlenet_leaves_out_the_heads_and_nothing_else(tmp_path: Path) -> None:
    lesson = copy_lesson("Test4_googlenet", tmp_path)
    (lesson / "class_indices.json").write_text('{"0": "blue", "1": "red"}', encoding="utf-8")
    draw_image((200, 50, 40), seed=1).save(tmp_path / "photo.jpg")
    state = load("Test4_googlenet", "model").GoogLeNet(num_classes=2).state_dict()
    torch.save(state, lesson / "googleNet.pth")
    assert run_here(lesson / "predict.py", tmp_path / "photo.jpg").status == 0
    for name, change in (("inception4a.branch1.conv.bias", None), ("aux3.fc1.weight", torch.zeros(1))):
        spoiled = {key: value for key, value in state.items() if key != name}
        torch.save(spoiled if change is None else {**spoiled, name: change}, lesson / "googleNet.pth")
        assert_one_line(run_here(lesson / "predict.py", tmp_path / "photo.jpg"), name)


@pytest.mark.parametrize("name", ["resnet18", "resnet34"])
def test_imagenet_weights_that_do_not_fit(name: str, tmp_path: Path, data_set: Path) -> None:
    """Another ResNet's, or one for other classes."""
    script = copy_lesson("Test5_resnet", tmp_path) / "train.py"
    net = load("Test5_resnet", "model").models[name](num_classes=5)
    torch.save(net.state_dict(), tmp_path / "w.pth")
    options = ["--data-path", data_set, "--model-name", "resnet18", "--weights", tmp_path / "w.pth"]
    words = ["5 classes", "1000"] if name == "resnet18" else ["another net"]
    assert_one_line(run_here(script, *options), "w.pth", *words)


def test_batch_predict_without_a_folder(tmp_path: Path) -> None:
    script = copy_lesson("Test5_resnet", tmp_path) / "batch_predict.py"
    assert_one_line(run_here(script, tmp_path / "absent"), "no folder", "absent")
    (tmp_path / "empty").mkdir()
    assert_one_line(run_here(script, tmp_path / "empty"), "no images", "empty")
    assert_one_line(run_here(script, tmp_path / "empty", "--csv", tmp_path), "--csv", "should name a file")


@pytest.mark.parametrize("weights", ["", ".", "/"])
def test_weights_that_name_no_file(weights: str, trained: Path) -> None:
    result = run_here(trained / "predict.py", trained / "photo.jpg", "--weights", weights)
    assert_one_line(result, "no file")


def test_other_weights_in_the_folder_are_named(trained: Path, tmp_path: Path) -> None:
    for name in ("AlexNet.pth", "AlexNet_last.pth"):
        shutil.copy(trained / "AlexNet.pth", tmp_path / f"My{name}")
    shutil.copy(trained / "class_indices.json", tmp_path)
    result = run_here(trained / "predict.py", trained / "photo.jpg", "--output-dir", tmp_path)
    assert_one_line(result, "no file", "such as MyAlexNet.pth")
    assert "_last" not in result.err


def test_class_names_with_a_byte_order_mark(trained: Path, tmp_path: Path) -> None:
    """As Windows' editor used to save them."""
    shutil.copy(trained / "AlexNet.pth", tmp_path)
    (tmp_path / "class_indices.json").write_text('{"0": "blue", "1": "red"}', encoding="utf-8-sig")
    assert run_here(trained / "predict.py", trained / "photo.jpg", "--output-dir", tmp_path).status == 0


# ---------------------------------------------------------------- what looks bad and must work


@pytest.mark.parametrize("folder", FLOWER_LESSONS)
def test_odd_images_and_odd_numbers_train_and_predict(folder: str, tmp_path: Path) -> None:
    """Every mode, tiny and thin images, a class of one photo, a last batch of one, a batch larger than the set."""
    lesson = copy_lesson(folder, tmp_path)
    data = draw_data_set(tmp_path / "data", classes=("blue", "一 é"), train=1, val=1)
    odd = data / "train" / "blue"
    picture = draw_image((40, 60, 200), seed=1)
    for mode in ("L", "LA", "RGBA", "P", "1", "I;16"):
        (picture.convert("L") if mode == "I;16" else picture).convert(mode).save(odd / f"mode {mode[0]}{len(mode)}.png")
    picture.convert("CMYK").save(odd / "cmyk.jpg")
    picture.save(odd / "picture.webp")
    for size in ((1, 1), (1, 3000), (3000, 1)):
        Image.new("RGB", size, "red").save(odd / f"{size[0]} x {size[1]}.png")
    count = len(list(odd.iterdir())) + 1
    assert count % (count - 1) == 1
    weights, options, train_options = FLOWER_LESSONS[folder]
    for batch_size in (count - 1, 10 * count):
        result = run_here(
            lesson / "train.py", *options, *train_options, "--data-path", data, "--epochs", 1, "--workers", 0,
            "--batch-size", batch_size, "--output-dir", tmp_path / str(batch_size),
        )  # fmt: skip
        assert result.status == 0, result.err
        assert result.err == "" and f"using {count} images for training" in result.out
    result = run_here(lesson / "predict.py", odd, *options, "--output-dir", tmp_path / str(count - 1))
    assert result.status == 0, result.err
    assert result.err == "" and result.out.count("image: ") == count - 1
    assert (tmp_path / str(count - 1) / weights).is_file()
