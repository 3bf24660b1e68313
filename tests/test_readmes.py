"""The READMEs: both languages say the same, links lead somewhere, options and layers are there."""

import re
from functools import cache
from pathlib import Path

import plain
import pytest
import torch
from running import LESSONS, ROOT, run_here, works
from torch import nn

FOLDERS = [".", "data_set", "tests", *LESSONS]
PAGES = [*(f"{folder}/README" for folder in FOLDERS), "Test5_resnet/MULTI_GPU"]


def read(folder: str) -> str:
    """The English page of a folder."""
    return read_both(f"{folder}/README")[0]


def read_both(page: str) -> tuple[str, str]:
    """A page in English and in Chinese."""
    english, chinese = ROOT / f"{page}.md", ROOT / f"{page}.zh-CN.md"
    return english.read_text(encoding="utf-8"), chinese.read_text(encoding="utf-8")


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def headings(text: str) -> list[str]:
    """The level of each heading: #, ## ..."""
    return re.findall(r"^(#+) ", without_code(text), flags=re.MULTILINE)


def code(text: str) -> list[str]:
    """Every block of code, without its comments."""
    blocks = re.findall(r"^```.*?^```$", text, flags=re.MULTILINE | re.DOTALL)
    return [re.sub(r" *#.*", "", block) for block in blocks]


def links(text: str) -> list[str]:
    text = re.sub(r"`[^`\n]*`", "", without_code(text))  # nets[name](5) is none
    return re.findall(r"\]\(([^)\s]+)\)", text)


def tables(text: str) -> list[list[list[str]]]:
    """Every table as rows of cells, without the line under its head."""
    found = []
    for table in re.findall(r"(?:^\|.*\|\n)+", without_code(text) + "\n", flags=re.MULTILINE):
        rows = []
        for line in table.splitlines():
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if set("".join(cells)) - set("-: "):
                rows.append(cells)
        found.append(rows)
    return found


def numbers(cells: list[str]) -> list[str]:
    return re.findall(r"\d+(?:[,.]\d+)*", " ".join(cells))


@pytest.mark.parametrize("page", PAGES)
def test_commands_are_what_every_shell_takes(page: str) -> None:
    """bash, cmd and Windows' own PowerShell; where one does not, the others' form stands beside."""
    for text in read_both(page):
        before = ""
        for part in re.split(r"^(```.*?^```)$", text, flags=re.MULTILINE | re.DOTALL):
            if part.startswith("```\n"):  # not ```python
                for line in part.splitlines():
                    assert "&&" not in line or "PowerShell 5.1" in before, line
                    assert not re.match(r"[A-Z_]+=|cd -| *~/", line), line
                    assert not line.startswith("cp ") or "xcopy" in text, line
                    assert not line.startswith(("export ", "set ", "$env:")) or "bash" in before
            before = part


def test_every_page_is_in_this_list() -> None:
    found = {path for folder in FOLDERS for path in (ROOT / folder).glob("*.md")}
    assert found == {ROOT / f"{page}{language}.md" for page in PAGES for language in ("", ".zh-CN")}


@pytest.mark.parametrize("page", PAGES)
def test_both_languages_say_the_same(page: str) -> None:
    english, chinese = read_both(page)
    assert headings(english) == headings(chinese)
    assert code(english) == code(chinese)
    linked = [
        sorted(link.replace(".zh-CN", "") for link in links(text)) for text in (english, chinese)
    ]
    assert linked[0] == linked[1]
    for one, other in zip(tables(english), tables(chinese), strict=True):
        for row, twin in zip(one, other, strict=True):
            assert len(row) == len(twin)
            assert numbers(row) == numbers(twin)
    chinese_letters = "[\u4e00-\u9fff]"
    assert re.search(chinese_letters, chinese)
    assert not re.search(chinese_letters, english.replace("中文", ""))


@pytest.mark.parametrize("page", PAGES)
def test_links_and_pictures_are_there(page: str) -> None:
    folder = (ROOT / page).parent
    for text in read_both(page):
        for link in links(text):
            assert link.startswith("https://") or (folder / link.partition("#")[0]).exists(), link
            if link.endswith(".png"):
                assert (folder / link).stat().st_size < 150 * 1024, link
        if page.endswith("README"):
            for picture in (folder / "images").glob("*"):
                assert f"images/{picture.name}" in text, f"{picture.name} is not shown"
                assert picture.suffix == ".png"


OTHER_PROGRAMS_OPTIONS = {
    "--index-url",
    "--standalone",
    "--nproc_per_node",
    "--nnodes",
    "--node_rank",
    "--rdzv_backend",
    "--rdzv_endpoint",
    "--rdzv_id",
    "--max-restarts",
}


def scripts(folder: str) -> list[Path]:
    """The scripts in a folder that can be run."""
    found = []
    for path in sorted((ROOT / folder).glob("*.py")):
        if re.search("^if __name__ ==", path.read_text(encoding="utf-8"), flags=re.MULTILINE):
            found.append(path)
    return found


@cache
def options_of(folder: str) -> set[str]:
    found = set()
    for path in scripts(folder):
        found.update(re.findall(r"--[a-z][\w-]*", works(run_here(path, "--help")).out))
    return found


@pytest.mark.parametrize("page", PAGES)
def test_every_option_that_is_named_exists(page: str) -> None:
    folder = page.rpartition("/")[0]
    folders = FOLDERS[1:] if folder in (".", "tests") else [folder, "data_set"]
    known = OTHER_PROGRAMS_OPTIONS.union(*[options_of(name) for name in {*folders, "tests"}])
    named = re.findall(r"(?<![\w-])--[a-z][\w-]*", "\n".join(read_both(page)))
    assert set(named) - known == set()


def test_every_option_of_train_and_every_script_is_named(folder: str) -> None:
    text = read(folder)
    usage = run_here(ROOT / folder / "train.py", "--help").out
    for option in set(re.findall(r"--[a-z][\w-]*", usage)) - {"--help"}:
        assert option in text
    for path in (ROOT / folder).glob("*.py"):
        assert path.name in text


def layers_of(net: nn.Module) -> list[tuple[str, nn.Module]]:
    """The layers by name: a net's children, and of `features` and `classifier` their own."""
    found = []
    for name, child in net.named_children():
        if name in ("features", "classifier"):
            found += [(f"{name}.{number}", layer) for number, layer in child.named_children()]
        else:
            found.append((name, child))
    return found


def test_the_layer_table_is_the_models(folder: str) -> None:
    """Name, output size and number of parameters of each layer, in the order of computing."""
    net = plain.make_net(folder, 5).train()
    rows = []
    for name, layer in layers_of(net):

        def note(layer: nn.Module, _: object, out: torch.Tensor, name: str = name) -> None:
            count = sum(parameter.numel() for parameter in layer.parameters())
            rows.append([name, " x ".join(map(str, out.shape[1:])), f"{count:,}"])

        if not isinstance(layer, nn.BatchNorm2d | nn.ReLU | nn.Dropout):
            layer.register_forward_hook(note)
    side = 32 if folder == plain.LENET else 224
    with torch.no_grad():
        net(torch.zeros(2, 3, side, side))
    table = next(table for table in tables(read(folder)) if table[0][0] == "layer")
    assert [[row[0], *row[2:]] for row in table[1:]] == rows


def test_the_lines_that_are_explained_stand_in_the_code(folder: str) -> None:
    page = read(folder)
    section = page[page.index("\n## The code, line by line\n") + 1 :]
    section = section[: section.index("\n## ") + 1]
    parts = re.split(r"^### (\w+\.py)$", section, flags=re.MULTILINE)[1:]
    files = dict(zip(parts[::2], parts[1::2], strict=True))
    assert list(files) == ["model.py", "train.py", "predict.py"]
    for name, text in files.items():
        code = (ROOT / folder / name).read_text(encoding="utf-8")
        for table in tables(text):
            assert len(table) > 1
            for row in table[1:]:
                for piece in re.findall(r"`([^`]+)`", row[0]):
                    assert piece in code, f"{name} has no {piece}"


def test_backpropagation_in_numbers(capsys: pytest.CaptureFixture) -> None:
    """The program on Test1's page prints what stands below it, and the table's numbers."""
    page = read(plain.LENET)
    page = page[page.index("### Backpropagation in numbers") :]
    program, output = re.findall(r"^```(?:python)?\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[:2]
    dtype = torch.get_default_dtype()
    try:
        exec(program, {})
    finally:
        torch.set_default_dtype(dtype)
    assert capsys.readouterr().out == output
