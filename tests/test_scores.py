"""What is counted of a net's predictions: scores, and the confusion matrix."""

import csv
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType

import plain
import pytest
import torch
from drawn import draw_image
from matplotlib.figure import Figure
from running import Patch, load, run_here, works
from tiny import TinyLesson

# 10 images of three classes: 4 of cat (3 right, 1 taken for dog), 5 of dog (2 right, 3 for cat),
# 1 of pug, taken for dog; nothing is taken for pug
LABELS = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1, 1, 2])
PREDICTED = torch.tensor([0, 0, 0, 1, 1, 1, 0, 0, 0, 1])
COUNTS = torch.tensor([[3, 1, 0], [3, 2, 0], [0, 1, 0]])


@pytest.fixture
def plots() -> ModuleType:
    return load(plain.ALEXNET, "plots")


@pytest.fixture
def drawn(monkeypatch: Patch) -> list[Figure]:
    """The figures that are written, which are not."""
    figures = []

    def keep(figure: Figure, path: Path, **options: object) -> None:
        path.touch()
        figures.append(figure)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


def test_scores_of_known_counts(helpers: ModuleType, capsys: pytest.CaptureFixture) -> None:
    confusion = helpers.confusion_matrix(LABELS, PREDICTED, 3)
    assert torch.equal(confusion, COUNTS)
    helpers.print_scores(confusion, ["cat", "dog", "pug"])
    assert capsys.readouterr().out.splitlines() == [
        "class: cat          precision: 0.500  recall: 0.750  F1: 0.600",
        "class: dog          precision: 0.500  recall: 0.400  F1: 0.444",
        "class: pug          precision: nan  recall: 0.000  F1: 0.000",
        "accuracy: 0.500 of 10 images",
    ]


def test_the_confusion_matrix_shows_counts_and_recall(
    plots: ModuleType, tmp_path: Path, drawn: list[Figure]
) -> None:
    plots.draw_confusion(tmp_path / "a.png", COUNTS, ["cat", "dog", "pug"], show=False)
    (axes,) = drawn[0].axes
    rows = [label.get_text() for label in axes.get_yticklabels()]
    assert rows == ["cat  0.75", "dog  0.40", "pug  0.00"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["cat", "dog", "pug"]
    numbers = {
        (int(text.get_position()[1]), int(text.get_position()[0])): text.get_text()
        for text in axes.texts
    }
    assert numbers == {(0, 0): "3", (0, 1): "1", (1, 0): "3", (1, 1): "2", (2, 1): "1"}
    shares = axes.images[0].get_array()
    assert shares[0].tolist() == [0.75, 0.25, 0] and shares[2].tolist() == [0, 1, 0]


def test_the_confusion_matrix_of_many_classes_is_readable(
    plots: ModuleType, tmp_path: Path, drawn: list[Figure]
) -> None:
    names = [f"class {i}" for i in range(100)]
    confusion = torch.eye(100, dtype=torch.long)
    confusion[4] = 0  # a class without images
    plots.draw_confusion(tmp_path / "a.png", confusion, names, show=False)
    (axes,) = drawn[0].axes
    rows = [label.get_text() for label in axes.get_yticklabels()]
    assert len(rows) <= 30 and rows[0] == "class 0  1.00" and rows[1] == "class 4"
    assert not axes.texts


@pytest.fixture(params=plain.DEFAULTS)
def lesson(
    request: pytest.FixtureRequest, tmp_path: Path, data_set: Path, cifar10: Path
) -> TinyLesson:
    data = cifar10 if request.param == plain.LENET else data_set
    return TinyLesson(request.param, tmp_path, data)


def test_every_lesson_scores_a_test_set_and_draws_the_confusion_matrix(
    lesson: TinyLesson, tmp_path: Path
) -> None:
    result = works(lesson.train("--epochs", 1))
    confusion = lesson.out / f"{lesson.save_path.stem}_confusion.png"
    assert f"drawn in {confusion}" in result.out and confusion.exists()
    names = ("plane", "car") if lesson.is_lenet else ("blue", "red")
    test = tmp_path / "test"
    for number, name in enumerate(names):
        (test / name).mkdir(parents=True)
        for i in range(2 + number):
            draw_image((90 * number, 20, 60 * i), i).save(test / name / f"{i}.png")
    result = works(lesson.predict(test))
    predicted = [re.search(r"class: (\w+)", line)[1] for line in result.lines("image: ")]
    true = [names[0]] * 2 + [names[1]] * 3
    right = sum(one == other for one, other in zip(predicted, true, strict=True))
    assert f"accuracy: {right / 5:.3f} of 5 images" in result.out
    for name in names:
        hits = sum(one == other == name for one, other in zip(predicted, true, strict=True))
        both = predicted.count(name) + true.count(name)
        line = rf"class: {name} .*recall: {hits / true.count(name):.3f}  F1: {2 * hits / both:.3f}"
        assert re.search(line, result.out)
    # neither one class alone nor an image is a test set
    assert "accuracy" not in works(lesson.predict(test / names[0])).out
    assert "accuracy" not in works(lesson.predict(test / names[0] / "0.png")).out


def test_the_table_of_batch_predict_has_the_true_classes(data_set: Path, tmp_path: Path) -> None:
    resnet = TinyLesson(plain.RESNET, tmp_path, data_set)
    works(resnet.train("--epochs", 1))
    columns = {}
    for folder in (data_set / "val", data_set / "val" / "red"):
        script = resnet.folder / "batch_predict.py"
        options = ["--csv", tmp_path / "a.csv", "--output-dir", resnet.out, "--device", "cpu"]
        works(run_here(script, folder, *options))
        with (tmp_path / "a.csv").open(encoding="utf-8-sig", newline="") as file:
            columns[folder.name] = list(csv.DictReader(file))
    assert [row["true"] for row in columns["val"]] == ["blue", "blue", "red", "red"]
    assert [row["image"][:3] for row in columns["val"]] == ["blu", "blu", "red", "red"]
    assert "true" not in columns["red"][0] and len(columns["red"]) == 2


def test_a_test_set_is_found_whatever_its_path(
    data_set: Path, tmp_path: Path, monkeypatch: Patch
) -> None:
    """With "..", links, and other things beside it; two links may lead to one folder."""
    alexnet = TinyLesson(plain.ALEXNET, tmp_path, data_set)
    works(alexnet.train("--epochs", 1))
    test = tmp_path / "test"
    shutil.copytree(data_set / "val", test)
    (test / "red" / "deep").mkdir()
    draw_image((1, 2, 3), 1).save(test / "red" / "deep" / "a.png")
    expected = works(alexnet.predict(test)).lines("accuracy: ")
    assert expected[0].endswith("of 5 images")
    monkeypatch.chdir(test)
    draw_image((1, 2, 3), 2).save(tmp_path / "loose.png")
    for paths in ([Path(), "../loose.png"], ["../test"], [Path(), test], ["../loose.png", test]):
        assert works(alexnet.predict(*paths)).lines("accuracy: ") == expected, paths
    result = works(alexnet.predict(test, test / "red"))
    assert result.lines("accuracy: ") == expected and not result.lines("no accuracy")
    if sys.platform != "win32":
        links = tmp_path / "links"
        links.mkdir()
        for name in ("blue", "red"):
            (links / name).symlink_to(data_set / "val" / "red", target_is_directory=True)
        (line,) = works(alexnet.predict(links)).lines("accuracy: ")
        assert line == "accuracy: 0.500 of 4 images"
