"""The changes that a learner makes in train.py work in all five lessons, seen by their effect.

None of them asks for an edit of helpers.py or plots.py. Every run is made twice: in one go without
data workers, and with two data workers, stopped after an epoch and resumed without. Both must end
alike, bit for bit.
"""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import plain
import pytest
import torch
from edits import Edits
from matplotlib.axes import Axes
from running import ROOT, Patch, Result, fails, run_here, same, works
from tiny import TinyLesson
from torch import nn
from torchvision import datasets

SGD = "optim.SGD(net.parameters(), lr=args.lr, momentum=0.9, weight_decay=0.01)"


@pytest.fixture(params=plain.DEFAULTS)
def lesson(
    request: pytest.FixtureRequest, tmp_path: Path, data_set: Path, cifar10: Path
) -> TinyLesson:
    data = cifar10 if request.param == plain.LENET else data_set
    return TinyLesson(request.param, tmp_path, data)


@pytest.fixture
def alexnet(tmp_path: Path, data_set: Path) -> TinyLesson:
    return TinyLesson(plain.ALEXNET, tmp_path, data_set)


def add_scheduler(lesson: TinyLesson, scheduler: str, step: str = "scheduler.step()") -> None:
    lesson.edits.below("optimizer", f"scheduler = optim.lr_scheduler.{scheduler}")
    lesson.edits.argument("load_checkpoint", "scheduler=scheduler")
    lesson.edits.argument("save_checkpoint", "scheduler=scheduler")
    lesson.edits.above("history.append(", step)


def add_augmentation(lesson: TinyLesson, transform: str) -> None:
    start = '"train": transforms.Compose(\n        [\n'
    lesson.edits.replace(start, f"{start}            {transform},\n")


def sgd_and_a_schedule(lesson: TinyLesson) -> None:
    edits = lesson.edits
    edits.value("optimizer", SGD)
    add_scheduler(lesson, "StepLR(optimizer, step_size=1, gamma=0.5)")
    edits.value("loss_function", "nn.CrossEntropyLoss(label_smoothing=0.1)")
    edits.above("optimizer.step()", "nn.utils.clip_grad_norm_(net.parameters(), 1.0)")
    if lesson.is_lenet:
        test_set = "TensorDataset(val_image, val_label)"
        edits.value("validate_loader", f"DataLoader({test_set}, batch_size=200, shuffle=True)")
    else:
        edits.replace("shuffle=False", "shuffle=True")
    edits.above("net.train(", "train_right = 0")
    right = f"torch.eq({lesson.logits}.argmax(dim=1), labels.to(device)).sum()"
    edits.above("optimizer.step()", f"train_right += {right}")
    edits.below("history.append(", 'history[-1]["train_accuracy"] = train_right / seen')


def two_rates_and_a_plateau(lesson: TinyLesson) -> None:
    edits = lesson.edits
    first, others = "list(net.parameters())[:4]", "list(net.parameters())[4:]"
    groups = f'[{{"params": {first}, "lr": 0.001}}, {{"params": {others}}}]'
    edits.value("optimizer", f"optim.AdamW({groups}, lr=args.lr, weight_decay=0.05)")
    plateau = "ReduceLROnPlateau(optimizer, factor=0.5, patience=0, threshold=0.9999)"
    add_scheduler(lesson, plateau, "scheduler.step(val_loss)")
    counts = f"torch.tensor({lesson.train_set}.targets).bincount()"
    weight = f"1 / (torch.arange(len({counts})) + 1)"
    edits.value("loss_function", f"nn.CrossEntropyLoss(weight=({weight}).to(device))")
    add_augmentation(lesson, "transforms.TrivialAugmentWide()")


OWN_DATA = """
import numpy, random
from PIL import Image

class OwnData:
    # like the course's custom_dataset: it has these three and nothing else
    def __init__(self, root, transform):
        self.class_to_idx = {"blue": 0, "red": 1}
        self.items = []
        for name, label in self.class_to_idx.items():
            self.items += [(path, label) for path in sorted((root / name).iterdir())]
        self.transform = transform

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        path, label = self.items[index]
        image = self.transform(Image.open(path).convert("RGB"))
        return image + noise(), label
"""
OWN_CIFAR = """
import numpy, random

class OwnData:
    def __init__(self, root, train, transform):
        self.inner = datasets.CIFAR10(root, train=train, transform=transform)
        self.class_to_idx = self.inner.class_to_idx

    def __len__(self):
        return len(self.inner)

    def __getitem__(self, index):
        image, label = self.inner[index]
        return image + noise(), label
"""
NOISE = """
def noise():
    # of all three sources, in validation too
    return 0.1 * (random.random() + numpy.random.rand() + torch.rand(1).item())
"""


# as CutMix and MixUp are documented: in collate_fn
COLLATE = """
def collate(items):
    images, labels = torch.utils.data.default_collate(items)
    return images * (1 + torch.rand(1)), labels
"""


def own_data_with_random_numbers(lesson: TinyLesson) -> None:
    edits = lesson.edits
    edits.top(COLLATE)
    edits.replace("shuffle=True,", "shuffle=True,\n        collate_fn=collate,")
    edits.top(OWN_CIFAR if lesson.is_lenet else OWN_DATA, NOISE)
    if lesson.is_lenet:
        for name, train, key in (("train_set", True, "train"), ("val_set", False, "val")):
            edits.value(name, f'OwnData(args.data_path, {train}, data_transform["{key}"])')
    else:
        edits.replace("= ImageFolder(", "= OwnData(")
    noise_of_the_loss = "loss = loss * (1 + numpy.random.rand() + random.random())"  # as mixup has
    edits.above("loss.backward()", noise_of_the_loss)
    edits.value("optimizer", "optim.RMSprop(net.parameters(), lr=args.lr)")
    add_scheduler(lesson, "LambdaLR(optimizer, lambda epoch: 0.5**epoch)")


def a_part_of_torchvisions_folder_and_a_sampler(lesson: TinyLesson) -> None:
    edits, name = lesson.edits, lesson.train_set
    edits.replace("from torchvision import", "from torchvision import models, utils,")
    if not lesson.is_lenet:
        edits.replace("from torchvision import", "from torchvision import datasets,")
        folder = 'datasets.ImageFolder(str(args.data_path / "train"), data_transform["train"])'
        edits.value(name, folder)
    random_split = f"{name}, _ = torch.utils.data.random_split({name}, [6, 1])"
    edits.above("train_loader", f"{name} = torch.utils.data.Subset({name}, range(1, 8))")
    edits.above("train_loader", "manual_seed(args.seed)", random_split)
    edits.above("train_loader", f"{name} = torch.utils.data.ConcatDataset([{name}, {name}])")
    sampler = "torch.utils.data.WeightedRandomSampler(torch.ones(12), 7)"
    loader = f"DataLoader({name}, args.batch_size, sampler={sampler}, num_workers=args.workers)"
    edits.value("train_loader", loader)
    edits.value("optimizer", "optim.Adagrad(net.parameters(), lr=args.lr, fused=True)")
    add_scheduler(lesson, "CosineAnnealingLR(optimizer, T_max=args.epochs)")


def the_lowest_loss_is_the_best(lesson: TinyLesson) -> None:
    edits = lesson.edits
    edits.replace("best_acc, first_epoch = -1.0, 0", "best_acc, first_epoch = 99.0, 0")
    edits.replace("if val_accurate > best_acc", "if val_loss < best_acc")
    edits.value("best_acc", "val_loss")
    edits.replace("save(net.state_dict(), save_path)", "torch.save(net.state_dict(), save_path)")
    plain_transform = "v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])"
    edits.replace(
        "from torchvision import", "from torchvision.transforms import v2\nfrom torchvision import"
    )
    edits.replace("transforms.ToTensor()", plain_transform)
    edits.replace("net.to(device)\n", "net.to(device, memory_format=torch.channels_last)\n")


CHANGES: dict[str, Callable[[TinyLesson], None]] = {
    change.__name__: change
    for change in (
        sgd_and_a_schedule,
        two_rates_and_a_plateau,
        own_data_with_random_numbers,
        a_part_of_torchvisions_folder_and_a_sampler,
        the_lowest_loss_is_the_best,
    )
}


def trained(lesson: TinyLesson, place: Path) -> Result:
    """Train for two epochs, in one go and in two, compare, and predict with what is left."""
    lesson.out = place / "in two"
    works(lesson.train("--epochs", 1, "--workers", 2))
    resumed = works(lesson.train("--epochs", 2, "--resume"))
    assert len(resumed.lines("[epoch 2]")) == 1 and len(resumed.lines("[epoch 1]")) == 0
    in_two, kept = lesson.last(), torch.load(lesson.save_path, weights_only=True)
    lesson.out = place / "in one"
    result = works(lesson.train("--epochs", 2))
    for part in ("state", "history", "best_acc"):
        assert same(lesson.last()[part], in_two[part]), part
    assert same(torch.load(lesson.save_path, weights_only=True), kept)
    assert "class: " in works(lesson.predict()).out
    return result


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_a_changed_train_py_trains_resumes_and_predicts(
    change: Callable[[TinyLesson], None], lesson: TinyLesson, tmp_path: Path
) -> None:
    change(lesson)
    result = trained(lesson, tmp_path)
    history = lesson.history()
    if change is sgd_and_a_schedule:
        assert lesson.rates() == [pytest.approx(plain.DEFAULTS[lesson.name][2] / 4)]
        right = [label == predicted for label, predicted in predictions(lesson)]
        assert history[-1][lesson.accuracy_column] == sum(right) / len(right)
        assert all(0 <= row["train_accuracy"] <= 1 for row in history)
    if change is two_rates_and_a_plateau:
        # the first epoch is the best there was; after the second, both rates are halved
        assert lesson.rates() == [0.0005, plain.DEFAULTS[lesson.name][2] / 2]
        outputs, labels = validation(lesson)
        weight = 1 / (torch.arange(outputs.shape[1]) + 1)
        expected = nn.functional.cross_entropy(outputs, labels, weight)  # of all images at once
        assert history[-1][lesson.loss_column] == pytest.approx(expected.item(), abs=1e-5)
    if change is own_data_with_random_numbers:
        assert lesson.rates() == [plain.DEFAULTS[lesson.name][2] / 4]
    if change is a_part_of_torchvisions_folder_and_a_sampler:
        assert lesson.rates() == [pytest.approx(0, abs=1e-12)]
    if change is the_lowest_loss_is_the_best:
        losses = [row[lesson.loss_column] for row in history]
        assert [row.get("best", False) for row in history] == [True, losses[1] < losses[0]]
        assert f"best {lesson.accuracy_column}: {min(losses):.3f}" in result.out


def validation(lesson: TinyLesson) -> tuple[torch.Tensor, torch.Tensor]:
    """What the last epoch's net makes of the validation images one by one, and their labels."""
    transform = plain.transform(lesson.name)
    if lesson.is_lenet:
        images = datasets.CIFAR10(lesson.data, train=False, transform=transform)
    else:
        images = datasets.ImageFolder(lesson.data / "val", transform)
    net = lesson.net(10 if lesson.is_lenet else 2)
    with torch.no_grad():
        outputs = torch.cat([net(image[None]) for image, _ in images])
    return outputs, torch.tensor(images.targets)


def predictions(lesson: TinyLesson) -> list[tuple[int, int]]:
    outputs, labels = validation(lesson)
    return list(zip(labels.tolist(), outputs.argmax(dim=1).tolist(), strict=True))


def test_the_losses_are_means_over_images(lesson: TinyLesson) -> None:
    """With batches of unequal size (8 = 3 + 3 + 2), in training and in validation."""
    lesson.edits.value("optimizer", "optim.SGD(net.parameters(), lr=0.0)")
    lesson.edits.replace("net.train()", "net.eval()")  # no dropout, no batch statistics
    lesson.edits.replace('transform=data_transform["train"]', 'transform=data_transform["val"]')
    if lesson.name == plain.GOOGLENET:
        lesson.edits.value("(logits, aux_logits2, aux_logits1)", "(net(images.to(device)),) * 3")
        lesson.edits.value("loss", "loss0")
    works(lesson.train("--epochs", 1))
    outputs, labels = validation(lesson)
    expected = nn.functional.cross_entropy(outputs, labels).item()
    assert lesson.history()[0][lesson.loss_column] == pytest.approx(expected, abs=1e-5)
    train_images = datasets.CIFAR10 if lesson.is_lenet else datasets.ImageFolder
    root = lesson.data if lesson.is_lenet else lesson.data / "train"
    images = train_images(root, transform=plain.transform(lesson.name))
    net = lesson.net(10 if lesson.is_lenet else 2)
    with torch.no_grad():
        outputs = torch.cat([net(image[None]) for image, _ in images])
    expected = nn.functional.cross_entropy(outputs, torch.tensor(images.targets)).item()
    assert lesson.history()[0]["train_loss"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.slow
def test_augmentation_differs_from_epoch_to_epoch(lesson: TinyLesson, tmp_path: Path) -> None:
    """Also with images in a fixed order, in batches of one: the pictures that the net sees."""
    lesson.edits.replace("shuffle=True", "shuffle=False")
    add_augmentation(lesson, "transforms.RandomRotation(90)")
    images = "inputs" if lesson.is_lenet else "images"
    lesson.edits.above("loss.backward()", f"seen_images.append({images}.sum().item())")
    lesson.edits.above("net.train(", "seen_images = []")
    lesson.edits.below("history.append(", 'history[-1]["images"] = sorted(seen_images)')
    seen = []
    for workers in (0, 2):
        works(lesson.train("--epochs", 2, "--batch-size", 1, "--workers", workers))
        first, second = (row["images"] for row in lesson.history())
        assert not set(first) & set(second)
        seen.append((first, second))
    assert seen[0] == seen[1]  # whatever --workers


@pytest.mark.parametrize("workers", [0, 1])
def test_a_learners_own_mistake_is_shown(workers: int, lesson: TinyLesson) -> None:
    if lesson.is_lenet:
        # a function, since a lambda cannot be sent to a worker that is spawned
        function = 'def noted(image):\n    return open("gone.csv")\n\n\n'
        lesson.edits.replace("data_transform = {", f"{function}data_transform = {{")
        add_augmentation(lesson, "transforms.Lambda(noted)")
        with pytest.raises(FileNotFoundError, match=r"gone\.csv"):
            lesson.train("--workers", workers)
        return
    resize = (
        "transforms.Resize(256)" if lesson.name == plain.RESNET else "transforms.Resize((224, 224))"
    )
    lesson.edits.replace(resize, "transforms.Resize(224)")
    lesson.edits.replace("transforms.CenterCrop(224),", "") if lesson.name == plain.RESNET else None
    with pytest.raises(RuntimeError, match="equal size"):
        lesson.train("--workers", workers)


def test_the_best_epochs_weights_are_kept_and_the_picture_follows(
    alexnet: TinyLesson, monkeypatch: Patch
) -> None:
    edits, marked, axvline = alexnet.edits, [], Axes.axvline

    def noted(self: Axes, x: int, **options: object) -> object:
        marked.append(x)
        return axvline(self, x, **options)

    def kept() -> set[int]:
        best = torch.load(alexnet.save_path, weights_only=True)
        paths = {n: alexnet.out / f"epoch{n}.pth" for n in (1, 2, 3, 4)}
        return {n for n, path in paths.items() if same(best, torch.load(path, weights_only=True))}

    monkeypatch.setattr(Axes, "axvline", noted)
    edits.value("val_accurate", "[0.5, 0.8, 0.8, 0.6][epoch]")
    edits.above(
        "history.append(", 'save(net.state_dict(), args.output_dir / f"epoch{epoch + 1}.pth")'
    )
    result = works(alexnet.train("--epochs", 4))
    assert kept() == {2} and "best val_accuracy: 0.800" in result.out
    assert marked == [1, 1, 2, 2, 2, 2, 2, 2]  # in both panels
    edits.replace("val_accurate > best_acc", "val_accurate >= best_acc")
    works(alexnet.train("--epochs", 4))
    assert kept() == {3} and marked[-1] == 3


def test_every_column_of_numbers_is_drawn(alexnet: TinyLesson, monkeypatch: Patch) -> None:
    """Losses together, accuracies together, every other column by itself; what is no number not."""
    drawn, plot = {}, Axes.plot

    def noted(self: Axes, x: tuple, y: tuple, **options: object) -> list:
        drawn[options["label"]] = (self.get_title(), tuple(y))
        axes.append(self)
        return plot(self, x, y, **options)

    axes: list[Axes] = []
    monkeypatch.setattr(Axes, "plot", noted)
    extra = '"precision": torch.tensor(0.5), "seconds": 3 + epoch, "matrix": torch.ones(2, 2), '
    extra += '"note": "x", "more": {"a": 1.0}, "nan": math.nan'
    alexnet.edits.below("history.append(", f"history[-1].update({{{extra}}})")
    works(alexnet.train("--epochs", 2))
    titles = {axis: axis.get_title() for axis in axes[-5:]}
    history = alexnet.history()
    panels = {"train_loss": "loss", "val_loss": "loss", "val_accuracy": "accuracy"}
    panels |= {"precision": "accuracy", "seconds": "seconds"}
    assert set(drawn) == set(panels)
    for name in panels:
        assert drawn[name][1] == tuple(row[name] for row in history)
    by_name = dict(zip(drawn, axes[-5:], strict=True))
    assert {name: by_name[name].get_title() for name in panels} == panels, titles
    assert history[0]["matrix"] == [[1.0, 1.0], [1.0, 1.0]] and history[0]["more"] == {"a": 1.0}


@pytest.mark.parametrize("end", ["break", "range(2)"])
def test_the_results_are_drawn_whenever_the_loop_ends(end: str, alexnet: TinyLesson) -> None:
    if end == "break":
        alexnet.edits.below("draw_results(", "break")
    else:
        alexnet.edits.replace("range(first_epoch, args.epochs)", "range(2)")
    works(alexnet.train("--epochs", 5))
    assert (alexnet.out / "AlexNet_results.png").exists()


LAST = "AlexNet_last.pth"
NOT_FITTING: dict[str, tuple[Callable[[TinyLesson], object], list[str]]] = {
    "another optimizer": (lambda run: run.edits.value("optimizer", SGD), [LAST, "Adam", "SGD"]),
    "a scheduler": (
        lambda run: add_scheduler(run, "StepLR(optimizer, step_size=2)"),
        [LAST, "scheduler", "StepLR"],
    ),
    "another net": (
        lambda run: run.edits.below("net", "net.fc = nn.Linear(8, 7)"),
        [LAST, "fc.weight", "2, 8", "7, 8"],
    ),
    "another layer": (
        lambda run: run.edits.below("net", "net.new = nn.Linear(2, 2)"),
        [LAST, "new.weight"],
    ),
    "fewer weights to train": (
        lambda run: run.edits.replace("net.parameters(), lr", "net.fc.parameters(), lr"),
        [LAST, "optimizer", "--resume"],
    ),
}


@pytest.mark.parametrize("name", NOT_FITTING)
def test_what_does_not_fit_the_file_is_one_line(name: str, alexnet: TinyLesson) -> None:
    change, words = NOT_FITTING[name]
    works(alexnet.train("--epochs", 2))
    before = alexnet.last_path.read_bytes()
    change(alexnet)
    fails(alexnet.train("--resume", "--epochs", 3), *words)
    assert alexnet.last_path.read_bytes() == before


def test_a_scheduler_that_is_not_saved_is_refused_on_resume(alexnet: TinyLesson) -> None:
    alexnet.edits.below("optimizer", "scheduler = optim.lr_scheduler.StepLR(optimizer, 2)")
    works(alexnet.train("--epochs", 2))
    fails(alexnet.train("--resume", "--epochs", 3), "scheduler=scheduler")


def test_values_of_her_own_are_saved_beside(alexnet: TinyLesson) -> None:
    alexnet.edits.argument("save_checkpoint", "epoch=epoch")
    works(alexnet.train("--epochs", 2))
    assert alexnet.last()["epoch"] == 1
    works(alexnet.train("--resume", "--epochs", 3))


def test_an_optimizer_that_does_not_know_fused(alexnet: TinyLesson) -> None:
    """Her own error shows: a TypeError, which names the argument."""
    alexnet.edits.replace("optim.Adam(", "optim.RMSprop(")
    with pytest.raises(TypeError, match="fused"):
        alexnet.train()


def test_options_that_differ_are_named_on_resuming(alexnet: TinyLesson) -> None:
    works(alexnet.train("--epochs", 1))
    line = works(alexnet.train("--resume", "--epochs", 2, "--lr", 0.01)).lines("resumed")[0]
    assert "after epoch 1, lr 0.01 (was 0.0002);" in line
    assert "--lr 0.01 (was 0.0002)" in line and "--epochs 2 (was 1)" in line
    assert "--seed" not in line and "--resume" not in line


# ---- the rows of "What a learner may change" that stand there as code ----


def block_of_readme(word: str) -> list[str]:
    """The lines of the block of code in README.md that holds a word."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    (block,) = [block for block in blocks if word in block]
    return block.splitlines()


def cell_of_readme(start: str) -> list[str]:
    """The pieces of code in the row of a table that begins so."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (row,) = [line for line in text.splitlines() if line.startswith(f"| {start} |")]
    return re.findall(r"`([^`]+)`", row)


def test_training_accuracy_and_precision_of_one_class(alexnet: TinyLesson) -> None:
    edits = alexnet.edits
    count, add, keep = [line.split("  #")[0] for line in block_of_readme("train_accuracy")]
    edits.below("(running_loss, seen)", count)
    edits.insert(edits.text.splitlines().index("            seen += len(images)") + 1, 12, (add,))
    precision = [line.replace("roses", "red") for line in block_of_readme("roses_precision")]
    edits.below("history.append(", keep, *precision)
    # no step is made: the last layer says red for images 0, 1 and 2 of the validation set
    edits.value("optimizer", "optim.SGD(net.parameters(), lr=0.0)")
    logits = "torch.eye(2)[[1, 1, 1, 0]] if not net.training else net(val_images.to(device))"
    edits.replace("outputs = net(val_images.to(device))", f"outputs = {logits}")
    works(alexnet.train("--epochs", 1, "--batch-size", 4))
    (row,) = alexnet.history()
    assert row["red_precision"] == pytest.approx(1 / 3)  # of blue, blue, red, red: the third
    assert row["train_accuracy"] in [count / 8 for count in range(9)]


def test_weights_by_the_number_of_images(alexnet: TinyLesson) -> None:
    counts, loss = cell_of_readme("weights for classes of unequal size")
    alexnet.edits.above("loss_function", counts)
    alexnet.edits.value("loss_function", loss.removeprefix("loss_function = "))
    alexnet.edits.below("loss_function", "print('weights', loss_function.weight.tolist())")
    works(alexnet.train("--epochs", 1))
    blue = alexnet.folder / "data" / "train" / "blue"
    shutil.copytree(alexnet.data, alexnet.folder / "data")
    for path in sorted(blue.iterdir())[:2]:
        path.unlink()
    alexnet.data = alexnet.folder / "data"
    (line,) = works(alexnet.train("--epochs", 1)).lines("weights")
    assert line == "weights [1.5, 0.75]"  # of 2 and 4 images


@pytest.mark.parametrize(
    "row",
    ["AdamW with weight decay", "label smoothing", "gradient clipping", "another augmentation"],
)
def test_a_row_of_the_table(row: str, alexnet: TinyLesson) -> None:
    before = works(alexnet.train("--epochs", 1)) and alexnet.history()
    pieces = cell_of_readme(row)
    edits = alexnet.edits
    if row == "gradient clipping":
        edits.above("optimizer.step()", pieces[0])
    elif row == "another augmentation":
        edits.replace("transforms.ToTensor(),", f"{pieces[1]} transforms.ToTensor(),")
    else:
        name, _, value = pieces[0].partition(" = ")
        edits.value(name, value)
    works(alexnet.train("--epochs", 1))
    assert alexnet.history() != before


@pytest.mark.slow
def test_layer4_and_fc_alone_with_two_rates(tmp_path: Path, data_set: Path) -> None:
    copy = plain.quick_lesson(plain.RESNET, tmp_path)
    options = ["--data-path", data_set, "--model-name", "resnet18", "--epochs", 1]
    works(run_here(copy / "train.py", *options, "--weights", "none"))
    before = torch.load(copy / "resNet18.pth", weights_only=True)
    lines = block_of_readme("net.layer4.parameters()")
    edits = Edits(copy / "train.py")
    edits.above("in_channel", *lines[: lines.index("")])
    start = [line.startswith("optimizer") for line in lines].index(True)
    edits.above("optimizer", *lines[lines.index("") + 1 : start])
    edits.value("optimizer", lines[start].removeprefix("optimizer = "))
    weights = tmp_path / "start.pth"
    torch.save(before, weights)
    works(run_here(copy / "train.py", *options, "--weights", weights))
    after = torch.load(copy / "resNet18_last.pth", weights_only=True)["state"]
    rates = [group["lr"] for group in after["optimizer"]["param_groups"]]
    assert rates == [pytest.approx(0.00001), 0.0001]
    for name, value in before.items():
        moved = not torch.equal(after["net"][name], value)
        if name.endswith(("weight", "bias")):
            assert moved == name.startswith(("layer4.", "fc.")), name


# ---- changes that touch what is saved and loaded ----


def test_a_wrapped_net_trains_resumes_and_is_drawn(lesson: TinyLesson) -> None:
    """nn.DataParallel puts `module.` before the names, in every file of the run."""
    if lesson.name == plain.RESNET:
        lesson.edits.replace("net.fc.train()", "net.module.fc.train()")
    lesson.edits.below("net.to(device)", "net = nn.DataParallel(net)")
    works(lesson.train("--epochs", 1))
    result = works(lesson.train("--epochs", 2, "--resume"))
    assert "_confusion.png" in result.out
    assert any(name.startswith("module.") for name in lesson.last()["state"]["net"])
    assert "class: " in works(lesson.predict()).out


def test_paths_as_the_video_types_them(lesson: TinyLesson, monkeypatch: Patch) -> None:
    """save_path = "./AlexNet.pth", and a path in predict.py, are texts."""
    monkeypatch.chdir(lesson.folder)
    lesson.edits.value("save_path", f'"./{lesson.save_path.name}"')
    lesson.edits.value("last_path", f'"./{lesson.last_path.name}"')
    works(lesson.train("--epochs", 1))
    works(lesson.train("--epochs", 2, "--resume"))
    assert "best " in works(lesson.train("--epochs", 1)).out
    assert (lesson.folder / f"{lesson.save_path.stem}_previous.pth").exists()
    predict = Edits(lesson.folder / "predict.py")
    predict.value("weights_path", f'"./{lesson.save_path.name}"')
    predict.replace("weights_path.stem", "'net'")
    assert "class: " in works(lesson.predict()).out


def test_a_predict_py_without_the_name_weights_path(alexnet: TinyLesson, tmp_path: Path) -> None:
    """A file that does not fit is a one-line error as long as weights_path names it."""
    works(alexnet.train("--epochs", 1))
    state = torch.load(alexnet.save_path, weights_only=True)
    torch.save({**state, "fc.weight": torch.zeros(3, 8)}, alexnet.out / "other.pth")
    weights = ["--weights", alexnet.out / "other.pth"]
    fails(alexnet.predict(*weights), "other.pth", "fc.weight is [3, 8] in it")
    Edits(alexnet.folder / "predict.py").replace("weights_path", "path")
    with pytest.raises(RuntimeError, match="size mismatch"):
        alexnet.predict(*weights)


def test_going_back_to_the_last_epoch_within_the_loop(alexnet: TinyLesson) -> None:
    """Saving leaves the optimizer as it is: load_checkpoint finds no trace of a scheduler."""
    back = "load_checkpoint(last_path, args, net=net, optimizer=optimizer)"
    alexnet.edits.below("draw_results(", "if epoch == 1:", f"    {back}")
    works(alexnet.train("--epochs", 3))
    assert len(alexnet.history()) == 3
    alexnet.edits.below("draw_results(", "print('groups', sorted(optimizer.param_groups[0]))")
    assert "initial_lr" not in works(alexnet.train("--epochs", 1)).lines("groups")[0]


def test_photos_to_learn_by_heart(alexnet: TinyLesson) -> None:
    """The experiment of "When it does not learn": validation is made on the training photos."""
    alexnet.edits.replace('transform=data_transform["train"]', 'transform=data_transform["val"]')
    alexnet.edits.above("train_loader", *block_of_readme("Subset(train_dataset, range("))
    result = works(alexnet.train("--epochs", 1))
    assert "using 8 images for training, 8 images for validation" in result.out
    net = alexnet.net(2)
    images = datasets.ImageFolder(alexnet.data / "train", plain.transform(plain.ALEXNET))
    with torch.no_grad():
        right = sum(int(net(image[None]).argmax()) == label for image, label in images)
    assert alexnet.history()[0]["val_accuracy"] == right / 8
