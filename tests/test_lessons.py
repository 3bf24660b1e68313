"""Each lesson does what its contract says: the training loop, the transforms, the predictions, the options."""

import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torchvision
from conftest import FLOWER_LESSONS, LESSONS, ROOT, copy_lesson, draw_data_set, load, quick_lesson, run_alone, run_here
from PIL import Image
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset
from torchvision import datasets, transforms

HALF, IMAGENET = ((0.5,) * 3, (0.5,) * 3), ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def normalize(folder: str) -> list:
    return [transforms.ToTensor(), transforms.Normalize(*(IMAGENET if folder == "Test5_resnet" else HALF))]


def contract_transform(folder: str, train: bool = False) -> transforms.Compose:
    """The transforms of the contract's table."""
    if folder == "Test1_official_demo":
        size = [transforms.Resize((32, 32))]
    elif train:
        size = [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip()]
    elif folder == "Test5_resnet":
        size = [transforms.Resize(256), transforms.CenterCrop(224)]
    else:
        size = [transforms.Resize((224, 224))]
    return transforms.Compose([*size, *normalize(folder)])


NETS: dict[str, tuple[Callable[..., nn.Module], float]] = {  # of the quick runs, with the lesson's learning rate
    "Test1_official_demo": (lambda n: load("Test1_official_demo", "model").LeNet(), 0.001),
    "Test2_alexnet": (lambda n: load("Test2_alexnet", "model").AlexNet(n, init_weights=True), 0.0002),
    "Test3_vggnet": (
        lambda n: load("Test3_vggnet", "model").vgg("vgg11", num_classes=n, init_weights=True, width=16),
        0.0001,
    ),
    "Test4_googlenet": (lambda n: load("Test4_googlenet", "model").GoogLeNet(n, init_weights=True), 0.0003),
    "Test5_resnet": (lambda n: load("Test5_resnet", "model").resnet18(), 0.0001),
}


def plain_loop(folder: str, train_set: object, test_set: object, batch_size: int, epochs: int) -> list[dict]:
    """The lesson as plain PyTorch: per epoch the mean training loss, the mean loss and the accuracy on the test set."""
    torch.manual_seed(0)
    net = NETS[folder][0](len(train_set.classes) if hasattr(train_set, "classes") else 10)
    if folder == "Test5_resnet":
        net.fc = nn.Linear(512, len(train_set.classes))
    net.to(memory_format=torch.channels_last)  # as train.py does: in another order of adding up, other rounding errors
    loss_function, optimizer = nn.CrossEntropyLoss(), optim.Adam(net.parameters(), lr=NETS[folder][1], fused=True)
    rows = []
    for epoch in range(epochs):
        torch.manual_seed(epoch + 1)
        net.train()
        losses, test_losses, right = [], [], 0
        for images, labels in DataLoader(train_set, batch_size=batch_size, shuffle=True):
            net.zero_grad()
            outputs = net(images)
            if folder == "Test4_googlenet":
                loss0, loss2, loss1 = (loss_function(output, labels) for output in outputs)
                loss = loss0 + 0.3 * loss1 + 0.3 * loss2
            else:
                loss = loss_function(outputs, labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        net.eval()
        for images, labels in DataLoader(test_set, batch_size=200 if folder == "Test1_official_demo" else batch_size):
            with torch.no_grad():
                outputs = net(images)
            test_losses.append(loss_function(outputs, labels).item())
            right += (outputs.argmax(dim=1) == labels).sum().item()
        rows.append([sum(losses) / len(losses), sum(test_losses) / len(test_losses), right / len(test_set)])
    return rows


def history(path: Path) -> list[dict]:
    return torch.load(path, weights_only=True)["history"]


@pytest.mark.parametrize("folder", LESSONS)
def test_training_is_that_of_a_plain_loop(folder: str, tmp_path: Path, cifar10: Path) -> None:
    if folder == "Test1_official_demo":
        data, (weights, options, extra), batch_size = cifar10, ("Lenet.pth", [], []), 30
        parts = [datasets.CIFAR10(data, train=train, transform=contract_transform(folder)) for train in (True, False)]
        sets = [TensorDataset(torch.stack([image for image, _ in p]), torch.tensor(p.targets)) for p in parts]
    else:
        data, (weights, options, extra), batch_size = (
            draw_data_set(tmp_path / "data", train=3),
            FLOWER_LESSONS[folder],
            2,
        )
        sets = [
            datasets.ImageFolder(data / part, contract_transform(folder, part == "train")) for part in ("train", "val")
        ]
    fixed = ["--data-path", data, "--output-dir", tmp_path, "--batch-size", batch_size, "--epochs", 2, "--workers", 0]
    result = run_here(quick_lesson(folder, tmp_path) / "train.py", *fixed, *options, *extra)
    assert result.status == 0, result.err
    rows = history(tmp_path / weights.replace(".pth", "_last.pth"))
    part = "test" if folder == "Test1_official_demo" else "val"
    found = [[row["train_loss"], row[f"{part}_loss"], row[f"{part}_accuracy"]] for row in rows]
    expected = plain_loop(folder, *sets, batch_size, epochs=2)
    for row, wanted in zip(found, expected, strict=True):
        assert row == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("folder", FLOWER_LESSONS)
def test_the_transforms_are_the_contracts(folder: str) -> None:
    image = Image.effect_noise((300, 260), 80).convert("RGB")
    for part in ("train", "val"):
        transform = load(folder, "train").data_transform[part]
        for seed in range(4):  # a flip has one chance in two
            torch.manual_seed(seed)
            found = transform(image)
            torch.manual_seed(seed)
            assert torch.equal(found, contract_transform(folder, part == "train")(image))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """For a lesson, a folder with weights of its net for three classes and their names, as train.py leaves them."""
    made: dict[str, Path] = {}

    def make(folder: str) -> Path:
        if folder not in made:
            made[folder] = tmp_path_factory.mktemp(folder)
            torch.manual_seed(0)
            net = NETS[folder][0](3)
            if folder == "Test5_resnet":
                net.fc = nn.Linear(512, 3)
            weights = FLOWER_LESSONS.get(folder, ["Lenet.pth"])[0]
            torch.save(net.state_dict(), made[folder] / weights)
            names = {"0": "blue", "1": "green", "2": "red"}
            (made[folder] / "class_indices.json").write_text(json.dumps(names), encoding="utf-8")
        return made[folder]

    return make


def probabilities(folder: str, weights: Path, image: Path) -> list[float]:
    """What the net gives to an image, computed here, with the contract's transform."""
    net = NETS[folder][0](3)
    if folder == "Test5_resnet":
        net.fc = nn.Linear(512, 3)
    net.load_state_dict(torch.load(weights, weights_only=True))
    with torch.no_grad(), Image.open(image) as picture:
        return torch.softmax(net.eval()(contract_transform(folder)(picture.convert("RGB"))[None])[0], dim=0).tolist()


@pytest.mark.parametrize("folder", LESSONS)
def test_predict_gives_the_nets_probabilities(folder: str, trained: Callable, tmp_path: Path) -> None:
    place = trained(folder)
    weights, options, _ = FLOWER_LESSONS.get(folder, ("Lenet.pth", [], []))
    folder_of_images = draw_data_set(tmp_path / "data", ("blue", "green", "red")) / "val"
    images = sorted(folder_of_images.rglob("*.png"))
    result = run_here(
        ROOT / folder / "predict.py",
        folder_of_images,
        images[0],
        "--output-dir",
        place,
        *options,
        "--save",
        tmp_path / "a.png",
    )
    assert result.status == 0, result.err
    lines = result.out.splitlines()
    answers = [i for i, line in enumerate(lines) if line.startswith("image: ")]
    assert [re.search(r"image: (\S+)", lines[i])[1] for i in answers] == [p.name for p in [*images, images[0]]]
    for i, image in zip(answers, images, strict=False):
        expected = probabilities(folder, place / weights, image)
        found = [float(line.split()[-1]) for line in lines[i + 1 : i + 1 + len(expected)]]
        assert found == pytest.approx(expected, abs=6e-4)
        best = max(range(len(expected)), key=expected.__getitem__)
        name = re.search(r"class: (\S+) +prob: ([\d.]+)", lines[i])
        assert name[1] == lines[i + 1 + best].split()[1] and float(name[2]) == max(found)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("folder", FLOWER_LESSONS)
def test_predict_without_an_image_takes_one_of_the_validation_set(
    folder: str, trained: Callable, tmp_path: Path
) -> None:
    script, options = ROOT / folder / "predict.py", [*FLOWER_LESSONS[folder][1], "--output-dir", trained(folder)]
    data = draw_data_set(tmp_path / "data", ("blue", "green", "red"))
    result = run_here(script, *options, "--data-path", data)
    name, true = re.search(r"image: (\w+)_\d.png .*true class: (\w+)", result.out).groups()
    assert result.status == 0 and name == true
    other = draw_data_set(tmp_path / "other", ("blue", "cyan", "red"))
    result = run_here(script, *options, "--data-path", other)
    assert result.status == 1 and "other classes" in result.err and str(other) in result.err


def test_lenet_predicts_a_test_image(trained: Callable, tmp_path: Path, cifar10: Path) -> None:
    place = trained("Test1_official_demo")
    result = run_here(ROOT / "Test1_official_demo" / "predict.py", "--output-dir", place, "--data-path", cifar10)
    index, true = re.search(r"image: test image (\d+) .*true class: (\w+)", result.out).groups()
    classes = ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    assert true == classes[int(index) % 10]
    assert (place / "Lenet_prediction.png").exists()


def test_lenet_tests_on_5000_images_every_500_steps_and_on_all_at_the_end(
    tmp_path: Path, cifar10: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    init = datasets.CIFAR10.__init__

    def larger(self: datasets.CIFAR10, *args: object, **options: object) -> None:
        init(self, *args, **options)
        times = 10 if self.train else 150  # 1,000 and 6,000 images
        self.data, self.targets = self.data.repeat(times, axis=0), [t for t in self.targets for _ in range(times)]

    monkeypatch.setattr(datasets.CIFAR10, "__init__", larger)
    script = ROOT / "Test1_official_demo" / "train.py"
    result = run_here(script, "--data-path", cifar10, "--output-dir", tmp_path, "--epochs", 1, "--batch-size", 1)
    line = r"^\[(\d),  +(\d+)\] train_loss: \d+\.\d{3}  test_accuracy: (\d\.\d{3})$"
    lines = re.findall(line, result.out, re.MULTILINE)
    assert [found[:2] for found in lines] == [("1", "500"), ("1", "1000")]
    net = NETS["Test1_official_demo"][0](10).eval()
    net.load_state_dict(torch.load(tmp_path / "Lenet.pth", weights_only=True))
    test_set = datasets.CIFAR10(cifar10, train=False, transform=contract_transform("Test1_official_demo"))
    with torch.no_grad():
        right = [float(net(test_set[i][0][None]).argmax() == test_set[i][1]) for i in range(0, 6000, 150)]
    whole, part = sum(right) / 40, (150 * sum(right[:33]) + 50 * right[33]) / 5000
    assert history(tmp_path / "Lenet_last.pth")[0]["test_accuracy"] == pytest.approx(whole)
    assert float(lines[-1][2]) == pytest.approx(part, abs=6e-4) and abs(part - whole) > 0.001


# ---------------------------------------------------------------- Test5: transfer learning, and many images


@pytest.fixture
def pretrained(tmp_path: Path) -> Path:
    """torchvision's own net with its 1000 classes, in place of the ImageNet weights that cannot be had here."""
    torch.manual_seed(1)
    path = tmp_path / "pre.pth"
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), path)
    return path


def test_transfer_learning(tmp_path: Path, data_set: Path, pretrained: Path) -> None:
    script = ROOT / "Test5_resnet" / "train.py"
    fixed = ["--data-path", data_set, "--model-name", "resnet18", "--epochs", 1, "--weights", pretrained]
    before = torch.load(pretrained, weights_only=True)
    for option, out in (("--freeze-layers", "frozen"), ("--resume", "all")):  # --resume without a run: see below
        options = [*fixed, "--output-dir", tmp_path / out, *([option] if out == "frozen" else [])]
        result = run_here(script, *options)
        assert result.status == 0 and str(pretrained) in result.out
    frozen, trained_all = (torch.load(tmp_path / out / "resNet18.pth", weights_only=True) for out in ("frozen", "all"))
    assert all(torch.equal(frozen[name], value) for name, value in before.items() if not name.startswith("fc."))
    assert frozen["fc.weight"].shape == (2, 512)
    weights = [name for name in before if name.endswith("weight") and not name.startswith("fc.")]
    changed = [name for name in weights if not torch.equal(trained_all[name], before[name])]
    assert changed == weights
    assert all((trained_all[name] - before[name]).abs().max() < 0.01 for name in weights)  # it started from them

    # going on from one's own net with other classes, all but its fc
    three = draw_data_set(tmp_path / "three", ("blue", "green", "red"), train=1, val=1)
    own = tmp_path / "all" / "resNet18.pth"
    options = ["--data-path", three, "--model-name", "resnet18", "--epochs", 1, "--output-dir", tmp_path / "three"]
    result = run_here(script, *options, "--weights", own)
    assert result.status == 0 and str(own) in result.out
    wrong = run_here(script, *[*options[:-1], tmp_path / "w"], "--weights", own, "--model-name", "resnet34")
    assert wrong.status == 1 and "layer1.2" in wrong.err and str(own) in wrong.err


def test_imagenet_weights_are_those_in_the_folder_or_torchvisions(
    tmp_path: Path, data_set: Path, pretrained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = copy_lesson("Test5_resnet", tmp_path)
    options = ["--data-path", data_set, "--model-name", "resnet18", "--epochs", 1]
    asked: list[dict] = []
    cache = tmp_path / "cache"
    monkeypatch.setenv("TORCH_HOME", str(cache))

    def fetch(self: object, **kwargs: object) -> dict:
        asked.append({**kwargs, "url": self.url})
        (cache / "hub" / "checkpoints").mkdir(parents=True)
        (cache / "hub" / "checkpoints" / self.url.split("/")[-1]).write_bytes(pretrained.read_bytes())
        return {}

    with monkeypatch.context() as patch:
        patch.setattr(torchvision.models.ResNet18_Weights.IMAGENET1K_V1.__class__, "get_state_dict", fetch)
        result = run_here(copy / "train.py", *options)
        assert result.status == 0, result.err
        assert asked == [{"progress": True, "check_hash": True, "weights_only": True, "url": asked[0]["url"]}]
        assert asked[0]["url"] in result.out
        (copy / "resnet18-pre.pth").write_bytes(pretrained.read_bytes())
        result = run_here(copy / "train.py", *options)
        assert result.status == 0 and str(copy / "resnet18-pre.pth") in result.out and len(asked) == 1

    def fail(self: object, **kwargs: object) -> dict:
        raise OSError("no network")

    (copy / "resnet18-pre.pth").unlink()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    monkeypatch.setattr(torchvision.models.ResNet18_Weights.IMAGENET1K_V1.__class__, "get_state_dict", fail)
    result = run_here(copy / "train.py", *options)
    assert result.status == 1 and "no network" in result.err and "resnet18-pre.pth" in result.err


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_batch_predict_names_every_image_as_predict_does(batch_size: int, trained: Callable, tmp_path: Path) -> None:
    place = trained("Test5_resnet")
    data = draw_data_set(tmp_path / "data", ("blue", "red"), train=3, val=1) / "train"
    (data / "red" / "nested").mkdir()
    (data / "red" / "red_0.png").rename(data / "red" / "nested" / "other.png")
    fixed = [data, "--output-dir", place, "--model-name", "resnet18"]
    result = run_here(
        ROOT / "Test5_resnet" / "batch_predict.py", *fixed, "--batch-size", batch_size, "--csv", tmp_path / "a.csv"
    )
    assert result.status == 0, result.err
    one_by_one = run_here(ROOT / "Test5_resnet" / "predict.py", *fixed)
    lines = [line for line in result.out.splitlines() if line.startswith("image: ")]
    assert lines == [line for line in one_by_one.out.splitlines() if line.startswith("image: ")]
    assert len(lines) == 6
    table = (tmp_path / "a.csv").read_bytes()
    assert table.startswith(b"\xef\xbb\xbfimage,class,prob") and b"red/nested/other.png," in table

    # hand-computed from the printed lines: the folder is a test set of two of the three classes
    predicted = [re.search(r"class: (\w+)", line)[1] for line in lines]
    true = ["blue"] * 3 + ["red"] * 3
    right = sum(p == t for p, t in zip(predicted, true, strict=True))
    assert f"accuracy: {right / 6:.3f}" in result.out
    for name in ("blue", "red"):
        hits = sum(p == t == name for p, t in zip(predicted, true, strict=True))
        recall, count = hits / 3, predicted.count(name)
        precision = f"{hits / count:.3f}" if count else "nan"
        assert re.search(rf"class: {name} +precision: {precision} +recall: {recall:.3f}", result.out)
    assert (place / "resNet18_confusion.png").exists()


def test_batch_predict_says_what_it_cannot_read_and_goes_on(trained: Callable, tmp_path: Path) -> None:
    data = draw_data_set(tmp_path / "data", ("x", "y")) / "train"
    for name in ("x/bad1.jpg", "y/bad2.jpg"):
        (data / name).write_bytes(b"no image")
    options = [data, "--output-dir", trained("Test5_resnet"), "--model-name", "resnet18", "--batch-size", 3]
    for script in ("batch_predict.py", "predict.py"):
        result = run_here(ROOT / "Test5_resnet" / script, *options[: 5 if script == "predict.py" else None])
        assert result.status == 1 and "bad1.jpg" in result.err and "bad2.jpg" in result.err
        assert result.out.count("image: ") == 8
        assert "accuracy" not in result.out  # x and y are no classes of the net


# ---------------------------------------------------------------- options, folders

DEFAULTS = {
    "Test1_official_demo": {"--epochs": "5", "--batch-size": "36", "--lr": "0.001"},
    "Test2_alexnet": {"--epochs": "10", "--batch-size": "32", "--lr": "0.0002"},
    "Test3_vggnet": {"--epochs": "30", "--batch-size": "32", "--lr": "0.0001", "--model-name": "vgg16"},
    "Test4_googlenet": {"--epochs": "30", "--batch-size": "32", "--lr": "0.0003"},
    "Test5_resnet": {"--epochs": "3", "--batch-size": "16", "--lr": "0.0001", "--model-name": "resnet34"},
}


@pytest.mark.parametrize("folder", LESSONS)
def test_help_shows_the_lessons_defaults(folder: str, tmp_path: Path) -> None:
    text = " ".join(run_here(ROOT / folder / "train.py", "--help").out.split())
    common = {"--seed": "0", "--workers": "", "--data-path": "", "--output-dir": str(ROOT / folder), "--device": "cpu"}
    for option, default in {**common, **DEFAULTS[folder]}.items():
        assert re.search(rf"{option} [^-].*?\(default: {re.escape(default)}", text), option
    data = "data" if folder == "Test1_official_demo" else str(Path("data_set") / "flower_data")
    assert re.search(rf"--data-path .*?\(default: [^)]*{re.escape(data)}\)", text)
    if folder != "Test1_official_demo":  # copied away alone, it looks in itself
        copy = copy_lesson(folder, tmp_path)
        text = " ".join(run_here(copy / "train.py", "--help").out.split())
        assert f"(default: {copy / 'data'})" in text


def test_the_same_files_are_in_all_folders_and_small() -> None:
    for name in ("helpers.py", "plots.py"):
        assert len({(ROOT / folder / name).read_bytes() for folder in LESSONS}) == 1
    lines = {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in itertools.chain(*((ROOT / folder).glob("*.py") for folder in LESSONS))
    }
    assert lines["Test2_alexnet/helpers.py"] + lines["Test2_alexnet/plots.py"] <= 400
    for folder in LESSONS:
        assert lines[f"{folder}/train.py"] <= (145 if folder == "Test5_resnet" else 130)
        assert lines[f"{folder}/predict.py"] <= 65


def test_a_folder_alone_trains_and_predicts_from_any_directory(tmp_path: Path, data_set: Path) -> None:
    copy = copy_lesson("Test5_resnet", tmp_path / "new place")
    (copy / "data").symlink_to(data_set) if hasattr(Path, "symlink_to") else None
    (tmp_path / "utils.py").write_text("raise RuntimeError('not ours')", encoding="utf-8")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    options = ["--model-name", "resnet18"]
    result = run_alone(copy / "train.py", *options, "--weights", "none", "--epochs", 1, cwd=elsewhere)
    assert result.status == 0, result.err
    assert "using cpu device." in result.out
    assert "using 8 images for training, 4 images for validation." in result.out
    assert re.search(r"^train epoch\[1/1\] 100%\[\*{50}->\] loss:\d+\.\d{3}$", result.out, re.MULTILINE)
    assert re.search(r"^\[epoch 1\] train_loss: \d+\.\d{3}  val_accuracy: \d\.\d{3}$", result.out, re.MULTILINE)
    assert re.search(r"^epoch 1 took \d+\.\d s, \d+\.\d s of it waiting for images$", result.out, re.MULTILINE)
    assert re.search(r"^Finished Training\nbest val_accuracy: \d\.\d{3}.*resNet18.pth$", result.out, re.MULTILINE)
    assert list(elsewhere.iterdir()) == []
    assert json.loads((copy / "class_indices.json").read_text(encoding="ascii")) == {"0": "blue", "1": "red"}
    state = torch.load(copy / "resNet18.pth", weights_only=True)
    assert state.keys() == torchvision.models.resnet18().state_dict().keys()
    for name in ("resNet18_results.png", "resNet18_mistakes.png"):
        assert (copy / name).read_bytes().startswith(b"\x89PNG")
    result = run_alone(copy / "predict.py", *options, cwd=elsewhere)
    assert result.status == 0 and "true class: " in result.out and str(copy / "resNet18_prediction.png") in result.out
    assert list(elsewhere.iterdir()) == []


DRAWING = {  # script: options that let it end soon
    "Test1_official_demo/convolution.py": [], "Test1_official_demo/draw_net.py": [], "Test1_official_demo/edges.py": [],
    "Test1_official_demo/optimizers.py": [], "Test2_alexnet/draw_layers.py": [], "Test2_alexnet/draw_net.py": [],
    "Test3_vggnet/receptive_field.py": [], "Test3_vggnet/signal_by_depth.py": ["--model-name", "vgg11"],
    "Test4_googlenet/draw_inception.py": ["--block", "inception4a"], "Test4_googlenet/draw_net.py": [],
    "Test5_resnet/draw_blocks.py": [], "Test5_resnet/draw_net.py": ["--model-name", "resnet50"],
}  # fmt: skip


@pytest.mark.parametrize("script", DRAWING)
def test_drawing_scripts_draw_and_name_their_picture(script: str, tmp_path: Path) -> None:
    result = run_here(ROOT / script, *DRAWING[script], "--save", tmp_path / "a.png")
    assert result.status == 0 and str(tmp_path / "a.png") in result.out, result.err
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
