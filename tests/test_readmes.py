"""The READMEs: both languages say the same, links lead somewhere, options exist, layer tables are the models'."""

import re
from functools import cache

import pytest
import torch
from conftest import LESSONS, ROOT, load, run_here
from torch import nn

FOLDERS = [".", "data_set", *LESSONS]
MODELS = {
    "Test1_official_demo": lambda model: model.LeNet(),
    "Test2_alexnet": lambda model: model.AlexNet(num_classes=5),
    "Test3_vggnet": lambda model: model.vgg("vgg16", num_classes=5),
    "Test4_googlenet": lambda model: model.GoogLeNet(num_classes=5),
    "Test5_resnet": lambda model: model.resnet34(num_classes=5),
}


def read(folder: str, language: str = "") -> str:
    return (ROOT / folder / f"README{language}.md").read_text(encoding="utf-8")


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def tables(text: str) -> list[list[list[str]]]:
    """Every table as rows of cells, without the line under its head."""
    found = re.findall(r"(?:^\|.*\|\n)+", without_code(text) + "\n", flags=re.MULTILINE)
    rows = [[line.strip("|").split("|") for line in table.splitlines()] for table in found]
    return [[[cell.strip() for cell in row] for row in table if set("".join(row)) - set("-:| ")] for table in rows]


def links(text: str) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", without_code(text))


@pytest.mark.parametrize("folder", FOLDERS)
def test_both_languages_say_the_same(folder: str) -> None:
    english, chinese = read(folder), read(folder, ".zh-CN")
    levels = [re.findall(r"^(#+) ", without_code(text), flags=re.MULTILINE) for text in (english, chinese)]
    assert levels[0] == levels[1]
    code = [re.findall(r"^```.*?^```$", text, flags=re.MULTILINE | re.DOTALL) for text in (english, chinese)]
    commands = [[re.sub(r" *#.*", "", block) for block in blocks] for blocks in code]
    assert commands[0] == commands[1]
    both = links(english), [link.replace(".zh-CN", "") for link in links(chinese)]
    assert sorted(link for link in both[0] if link != "README.zh-CN.md") == sorted(
        link for link in both[1] if link != "README.md"
    )
    for one, other in zip(tables(english), tables(chinese), strict=True):
        assert [len(row) for row in one] == [len(row) for row in other]
        for row, twin in zip(one, other, strict=True):
            numbers = [re.findall(r"\d+(?:[,.]\d+)*", " ".join(cells)) for cells in (row, twin)]
            assert numbers[0] == numbers[1]
    assert re.search("[\u4e00-\u9fff]", chinese) and not re.search("[\u4e00-\u9fff]", english.replace("中文", ""))


@pytest.mark.parametrize("folder", FOLDERS)
def test_links_and_pictures_are_there(folder: str) -> None:
    for text in (read(folder), read(folder, ".zh-CN")):
        local = [link for link in links(text) if not link.startswith("https://")]
        assert [link for link in local if not (ROOT / folder / link).exists()] == []
        for picture in (ROOT / folder / "images").glob("*"):
            assert f"images/{picture.name}" in text, f"{picture.name} is not shown"
            assert picture.suffix == ".png" and picture.stat().st_size < 150 * 1024


# of programs that are not ours
FOREIGN = {"--standalone", "--nproc_per_node", "--nnodes", "--node_rank", "--rdzv_backend", "--rdzv_endpoint",
           "--rdzv_id", "--max-restarts"}  # fmt: skip


@cache
def options_of(folder: str) -> set[str]:
    options = set()
    for script in (ROOT / folder).glob("*.py"):
        if 'if __name__ == "__main__"' in script.read_text(encoding="utf-8") and not script.name.startswith("test_"):
            result = run_here(script, "--help")
            assert result.status == 0 and result.out.startswith("usage: "), script
            options |= set(re.findall(r"--[a-z][\w-]*", result.out))
    return options


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_option_that_is_named_exists(folder: str) -> None:
    folders = FOLDERS[1:] if folder == "." else [folder, "data_set"]
    known = set().union(*(options_of(f) for f in [*folders, "tests"])) | FOREIGN
    named = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", read(folder) + read(folder, ".zh-CN")))
    assert named <= known, named - known


@pytest.mark.parametrize("folder", LESSONS)
def test_every_option_of_train_and_every_script_is_named(folder: str) -> None:
    text, usage = read(folder), run_here(ROOT / folder / "train.py", "--help").out
    named = {*re.findall(r"--[a-z][\w-]*", usage)} - {"--help"} | {path.name for path in (ROOT / folder).glob("*.py")}
    assert {name for name in named if name not in text} == set()


def geometry(layer: nn.Module) -> str:
    """Kernel / stride / padding of a layer, or what stands in their place."""
    layer = getattr(layer, "conv", layer) if type(layer).__name__ == "BasicConv2d" else layer
    if isinstance(layer, nn.Conv2d):
        return f"{layer.kernel_size[0]} / {layer.stride[0]} / {layer.padding[0]}"
    if isinstance(layer, nn.MaxPool2d):
        return f"{layer.kernel_size} / {layer.stride} / {layer.padding}"
    if type(layer).__name__ == "Inception":
        convs = [m for m in layer.modules() if isinstance(m, nn.Conv2d)]
        return ", ".join(str(m.out_channels) for m in convs)
    if isinstance(layer, nn.Sequential):
        strides = {m.stride[0] for m in layer.modules() if isinstance(m, nn.Conv2d)}
        return f"{len(layer)} x (3x3, 3x3), stride {max(strides)}"
    return "-"


def layer_table(folder: str) -> list[list[str]]:
    """Name, geometry, output size and parameters of each layer, in the order in which they compute."""
    net = MODELS[folder](load(folder, "model")).train()
    rows: list[list[str]] = []
    top = [(name, m) for name, m in net.named_children() if name not in ("features", "classifier")]
    inner = [(name, m) for name, m in net.named_modules() if name.startswith(("features.", "classifier."))]
    shown = (nn.Conv2d, nn.MaxPool2d, nn.Linear)
    for name, layer in top + [(name, m) for name, m in inner if isinstance(m, shown)]:
        if type(layer).__name__ in ("BatchNorm2d", "ReLU", "Dropout"):
            continue

        def note(layer: nn.Module, _: object, out: torch.Tensor, name: str = name) -> None:
            size = " x ".join(map(str, out.shape[1:]))
            count = sum(p.numel() for p in layer.parameters())
            rows.append([name, geometry(layer), size, f"{count:,}"])

        layer.register_forward_hook(note)
    side = 32 if folder == "Test1_official_demo" else 224
    with torch.no_grad():
        net(torch.zeros(2, 3, side, side))
    return rows


@pytest.mark.parametrize("folder", LESSONS)
def test_the_layer_table_is_the_models(folder: str) -> None:
    table = next(table for table in tables(read(folder)) if table[0][0] == "layer")
    assert table[1:] == layer_table(folder)
