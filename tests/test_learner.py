"""The changes that a learner makes in train.py work, and ask for none in helpers.py or plots.py."""

import json
import runpy
from collections.abc import Iterator
from pathlib import Path

import plain
import pytest
import torch
from drawn import draw_data_set
from matplotlib.axes import Axes
from running import Patch, Tiny, fails, no_pictures, same, works
from torchvision import datasets

ADAM = "optimizer = optim.Adam(net.parameters(), lr=args.lr, fused=True)  # fused: all weights in one pass over memory"
SGD = "optimizer = optim.SGD(net.parameters(), lr=args.lr, momentum=0.9, weight_decay=0.01)"
STATE = "net=net, optimizer=optimizer)"
STEP_LR = [
    (ADAM, f"{SGD}\n    scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.1)"),
    (STATE, "net=net, optimizer=optimizer, scheduler=scheduler)"),
    ("        # validate\n", "        scheduler.step()\n"),
]


@pytest.fixture
def run(tiny: Tiny) -> Iterator[Tiny]:
    with no_pictures():
        yield tiny


OWN_DATA_SET = """
from PIL import Image

class OwnData:
    # like the course's custom_dataset: it has these three and nothing else
    def __init__(self, root, transform):
        self.class_to_idx = {"blue": 0, "red": 1}
        self.items = [(path, i) for name, i in self.class_to_idx.items() for path in sorted((root / name).iterdir())]
        self.transform = transform

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        path, label = self.items[index]
        return self.transform(Image.open(path).convert("RGB")), label

def main() -> None:
"""

CHANGES = {
    "shuffled validation": [("shuffle=False", "shuffle=True")],
    "StepLR": STEP_LR,
    "augmentation": [("transforms.RandomHorizontalFlip()", "transforms.RandomRotation(20)")],
    "SGD and another loss": [(ADAM, SGD), ("nn.CrossEntropyLoss()", "nn.CrossEntropyLoss(label_smoothing=0.1)")],
    "own data set": [("\ndef main() -> None:\n", OWN_DATA_SET), ("ImageFolder(args", "OwnData(args")],
    "random_split and Subset": [
        ("import DataLoader", "import DataLoader, Subset, random_split"),
        ("    train_num, val_num", "    cla = train_dataset.class_to_idx\n    train_dataset, validate_dataset = "
         "random_split(Subset(train_dataset, range(7)), [0.5, 0.5])\n    train_num, val_num"),
        ("flower_list = train_dataset.class_to_idx", "flower_list = cla"),
    ],
    "the lesson's first line": [("import transforms", "import transforms, datasets, utils")],
    "the lesson's torch.save": [("save(net.state_dict(), save_path)", "torch.save(net.state_dict(), save_path)")],
    "one more column": [('"amp": args.amp', '"lr": torch.tensor(0.5), "amp": args.amp')],
    "precision and recall": [
        ("        val_accurate = acc / val_num\n", "        val_accurate = acc / val_num\n"
         "        positive = torch.eq(predict_y, 1)\n"
         "        precision = torch.eq(val_labels[positive], 1).float().mean().nan_to_num().numpy()\n"),
        ('"amp": args.amp', '"precision": precision, "amp": args.amp'),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_train_py_trains_resumes_and_predicts(name: str, run: Tiny) -> None:
    works(run.train("--epochs", 1, changes=CHANGES[name]))
    result = works(run.train("--resume", "--epochs", 3))
    assert [line[:9] for line in result.lines("[epoch")] == ["[epoch 2]", "[epoch 3]"]
    assert len(run.history()) == 3 and len(run.history()[-1]) >= 3
    assert json.loads((run.folder / "class_indices.json").read_text(encoding="ascii")) == {
        "0": "blue",
        "1": "red",
    }
    assert "class: red" in works(run.predict()).out


def test_shuffling_the_validation_set_gives_the_same_accuracy(run: Tiny) -> None:
    """That of the last epoch's weights on the validation set, one image at a time."""
    run.train("--epochs", 3, changes=CHANGES["shuffled validation"])
    net = runpy.run_path(str(run.folder / "model.py"))["AlexNet"](num_classes=2)
    net.load_state_dict(run.last()["net"])
    images = datasets.ImageFolder(run.data / "val", plain.transform("Test2_alexnet"))
    with torch.no_grad():
        right = [int(net.eval()(image[None]).argmax()) == label for image, label in images]
    assert run.history()[-1]["val_accuracy"] == sum(right) / len(images)


def test_the_best_epochs_weights_are_kept_and_the_picture_follows(
    run: Tiny, monkeypatch: Patch
) -> None:
    snapshot = '        save(net.state_dict(), args.output_dir / f"epoch{epoch + 1}.pth")\n        history.append('
    accuracies = "val_accurate = [0.5, 0.8, 0.8, 0.6][epoch]"
    snapshots = [
        ("val_accurate = acc / val_num", accuracies),
        ("        history.append(", snapshot),
    ]
    marked, axvline, epochs = [], Axes.axvline, [f"epoch{n}" for n in (1, 2, 3, 4)]
    monkeypatch.setattr(
        Axes, "axvline", lambda self, x, **options: marked.append(x) or axvline(self, x, **options)
    )

    def kept() -> set[int]:
        states = [
            torch.load(run.folder / f"{name}.pth", weights_only=True)
            for name in ("AlexNet", *epochs)
        ]
        return {n for n in (1, 2, 3, 4) if same(states[0], states[n])}

    result = run.train("--epochs", 4, changes=snapshots)
    assert kept() == {2} and marked[-1] == 2 and "best val_accuracy: 0.800" in result.out
    run.train("--epochs", 4, changes=[("val_accurate > best_acc", "val_accurate >= best_acc")])
    assert kept() == {3} and marked[-1] == 3
    lowest = [
        ("val_accurate >= best_acc", "val_loss < best_acc"),
        ("best_acc = val_accurate", "best_acc = val_loss"),
    ]
    first = 'best_acc = max((row["val_accuracy"] for row in history), default=-1.0)'
    lowest.append((first, 'best_acc = min((row["val_loss"] for row in history), default=9.0)'))
    run.train("--epochs", 2, changes=lowest)
    run.train("--epochs", 4, "--resume")
    losses = [row["val_loss"] for row in run.history()]
    assert kept() == {1 + losses.index(min(losses))} == {marked[-1]}


def test_every_column_is_drawn(run: Tiny, monkeypatch: Patch) -> None:
    drawn, plot = {}, Axes.plot

    def noted(self: Axes, x: tuple, y: tuple, **options: object) -> list:
        drawn[options["label"]] = (self.get_subplotspec().colspan.start, tuple(y))
        return plot(self, x, y, **options)

    monkeypatch.setattr(Axes, "plot", noted)
    run.train(changes=CHANGES["one more column"])
    rows = run.history()
    columns = {
        name: 0 if name.endswith("loss") else 1
        for name in ("train_loss", "val_loss", "val_accuracy", "lr")
    }
    assert drawn == {
        name: (place, tuple(row[name] for row in rows)) for name, place in columns.items()
    }


def test_a_new_rate_counts_and_an_old_one_goes_on(run: Tiny) -> None:
    def rate() -> float:
        return run.last()["optimizer"]["param_groups"][0]["lr"]

    run.train("--lr", 0.004, changes=STEP_LR)
    assert rate() == pytest.approx(0.0004)  # StepLR has lowered it after two epochs
    result = run.train("--resume", "--lr", 0.004, "--epochs", 3)
    assert rate() == pytest.approx(0.0004) == float(result.lines("resumed")[0].split()[-1])
    result = run.train("--resume", "--lr", 0.001, "--epochs", 5)
    assert float(result.lines("resumed")[0].split()[-1]) == pytest.approx(0.0001)
    assert rate() == pytest.approx(0.00001)  # 0.001, lowered after two epochs and after four
    changes = [("gamma=0.1", "gamma=0.5"), ("weight_decay=0.01", "weight_decay=0.02")]
    run.train("--resume", "--lr", 0.001, "--epochs", 7, changes=changes)
    assert rate() == pytest.approx(0.000005)
    assert run.last()["optimizer"]["param_groups"][0]["weight_decay"] == 0.02


def test_resuming_with_more_photos_other_batches_and_workers(run: Tiny, tmp_path: Path) -> None:
    run.train()
    assert (
        works(run.train("--resume", "--lr", 0.01)).lines("resumed")[0].endswith(" lr 0.01")
    )  # to the last digit
    run.data = draw_data_set(tmp_path / "more", train=6, val=3)
    assert works(run.train("--resume", "--epochs", 3, "--batch-size", 5, "--workers", 1)).lines(
        "[epoch 3]"
    )


LAST = "AlexNet_last.pth"
NOT_FITTING = {
    "another optimizer": ([(ADAM, SGD)], [LAST, "Adam", "SGD"]),
    "AdamW": ([("optim.Adam(", "optim.AdamW(")], [LAST, "Adam", "AdamW"]),
    "a scheduler": (STEP_LR, [LAST, "scheduler"]),
    "another net": ([("init_weights=True)", 'init_weights=True)\n    net.fc = nn.Linear(8, 7)')], [LAST, "fc.weight"]),
    "another layer": ([("init_weights=True)", "init_weights=True)\n    net.new = nn.Linear(2, 2)")], [LAST, "new"]),
    "fewer weights to train": ([("net.parameters(), lr", "net.fc.parameters(), lr")], ["--resume", "optimizer"]),
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_FITTING)
def test_what_does_not_fit_the_file_is_one_line(name: str, run: Tiny) -> None:
    changes, words = NOT_FITTING[name]
    run.train()
    before = run.last_path.read_bytes()
    fails(run.train("--resume", "--epochs", 3, changes=changes), *words)
    assert run.last_path.read_bytes() == before


def test_other_classes_and_a_scheduler_that_is_not_saved_are_refused_on_resume(
    run: Tiny, tmp_path: Path
) -> None:
    run.train(changes=[change for change in STEP_LR if change[0] != STATE])
    fails(run.train("--resume", "--epochs", 3), "scheduler=scheduler")
    run.data = draw_data_set(tmp_path / "other", ("blue", "rot"))
    fails(run.train("--resume", "--epochs", 3), "class_indices.json")
