"""The READMEs: both languages say the same, links lead somewhere, options exist, layer tables are the models'."""

import re
from functools import cache

import plain
import pytest
import torch
from running import LESSONS, ROOT, run_here, works
from torch import nn

FOLDERS = [".", "data_set", *LESSONS]


def read(folder: str, language: str = "") -> str:
    return (ROOT / folder / f"README{language}.md").read_text(encoding="utf-8")


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def tables(text: str) -> list[list[list[str]]]:
    """Every table as rows of cells, without the line under its head."""
    found = re.findall(r"(?:^\|.*\|\n)+", without_code(text) + "\n", flags=re.MULTILINE)
    rows = [[line.strip("|").split("|") for line in table.splitlines()] for table in found]
    return [
        [[cell.strip() for cell in row] for row in table if set("".join(row)) - set("-:| ")]
        for table in rows
    ]


def links(text: str) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", without_code(text))


@pytest.mark.parametrize("folder", FOLDERS)
def test_both_languages_say_the_same(folder: str) -> None:
    english, chinese = read(folder), read(folder, ".zh-CN")
    levels = [
        re.findall(r"^(#+) ", without_code(text), flags=re.MULTILINE) for text in (english, chinese)
    ]
    code = [
        re.findall(r"^```.*?^```$", text, flags=re.MULTILINE | re.DOTALL)
        for text in (english, chinese)
    ]
    commands = [[re.sub(r" *#.*", "", block) for block in blocks] for blocks in code]
    pages = [
        sorted(link.replace(".zh-CN", "") for link in links(text)) for text in (english, chinese)
    ]
    assert levels[0] == levels[1] and commands[0] == commands[1] and pages[0] == pages[1]
    for one, other in zip(tables(english), tables(chinese), strict=True):
        assert [len(row) for row in one] == [len(row) for row in other]
        for row, twin in zip(one, other, strict=True):
            numbers = [re.findall(r"\d+(?:[,.]\d+)*", " ".join(cells)) for cells in (row, twin)]
            assert numbers[0] == numbers[1]
    assert re.search("[\u4e00-\u9fff]", chinese) and not re.search(
        "[\u4e00-\u9fff]", english.replace("中文", "")
    )


@pytest.mark.parametrize("folder", FOLDERS)
def test_links_and_pictures_are_there(folder: str) -> None:
    for text in (read(folder), read(folder, ".zh-CN")):
        local = [link for link in links(text) if not link.startswith("https://")]
        assert [link for link in local if not (ROOT / folder / link).exists()] == []
        for picture in (ROOT / folder / "images").glob("*"):
            assert f"images/{picture.name}" in text, f"{picture.name} is not shown"
            assert picture.suffix == ".png" and picture.stat().st_size < 150 * 1024


FOREIGN = {"--standalone", "--nproc_per_node", "--nnodes", "--node_rank", "--rdzv_backend", "--rdzv_endpoint",
           "--rdzv_id", "--max-restarts"}  # fmt: skip


@cache
def options_of(folder: str) -> set[str]:
    scripts = [
        path
        for path in (ROOT / folder).glob("*.py")
        if "__main__" in path.read_text(encoding="utf-8")
    ]
    texts = [works(run_here(path, "--help")).out for path in scripts if path.name != "running.py"]
    return set(re.findall(r"--[a-z][\w-]*", " ".join(texts)))


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_option_that_is_named_exists(folder: str) -> None:
    folders = FOLDERS[1:] if folder == "." else [folder, "data_set"]
    known = set().union(*(options_of(f) for f in [*folders, "tests"])) | FOREIGN
    named = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", read(folder) + read(folder, ".zh-CN")))
    assert named <= known, named - known


def test_every_option_of_train_and_every_script_is_named(folder: str) -> None:
    text, usage = read(folder), run_here(ROOT / folder / "train.py", "--help").out
    named = {*re.findall(r"--[a-z][\w-]*", usage)} - {"--help"} | {
        path.name for path in (ROOT / folder).glob("*.py")
    }
    assert {name for name in named if name not in text} == set()


def test_the_layer_table_is_the_models(folder: str) -> None:
    """Name, output size and number of parameters of each layer, in the order in which they compute."""
    net, rows = plain.make_net(folder, 5).train(), []
    parts = [
        (name, m) for name, m in net.named_children() if name not in ("features", "classifier")
    ]
    parts += [
        (name, m)
        for name, m in net.named_modules()
        if name.startswith(("features.", "classifier."))
    ]
    for name, layer in parts:

        def note(layer: nn.Module, _: object, out: torch.Tensor, name: str = name) -> None:
            count = sum(p.numel() for p in layer.parameters())
            rows.append([name, " x ".join(map(str, out.shape[1:])), f"{count:,}"])

        if not isinstance(layer, nn.BatchNorm2d | nn.ReLU | nn.Dropout):
            layer.register_forward_hook(note)
    side = 32 if folder == plain.LENET else 224
    with torch.no_grad():
        net(torch.zeros(2, 3, side, side))
    table = next(table for table in tables(read(folder)) if table[0][0] == "layer")
    assert [[row[0], *row[2:]] for row in table[1:]] == rows
