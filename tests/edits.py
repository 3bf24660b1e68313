"""Edits of a script that find their place by the statement, as a learner does."""

import ast
from pathlib import Path


class Edits:
    """Changes one after another in the text of a script; each is written at once."""

    def __init__(self, path: Path):
        self.path = path

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    def write(self, text: str) -> None:
        ast.parse(text)  # the edit itself must be sound
        self.path.write_text(text, encoding="utf-8")

    def find(self, name: str) -> ast.stmt:
        """The statement that gives a value to a name, such as "optimizer" or "net.fc"."""
        for node in ast.walk(ast.parse(self.text)):
            if isinstance(node, ast.Assign):
                targets = [ast.unparse(target) for target in node.targets]
                if name in targets:
                    return node
            elif isinstance(node, ast.Expr) and ast.unparse(node.value).startswith(name):
                return node
        raise AssertionError(f"{self.path.name} has no statement {name}")

    def replace(self, old: str, new: str) -> "Edits":
        """Replace a piece of a statement wherever it stands."""
        assert old in self.text, f"{self.path.name} has no {old!r}"
        self.write(self.text.replace(old, new))
        return self

    def value(self, name: str, new: str) -> "Edits":
        """Another value for a name; {old} in it stands for the present one."""
        lines = self.text.splitlines(keepends=True)
        node = self.find(name)
        old = ast.get_source_segment(self.text, node.value)
        head = "".join(lines[: node.lineno - 1])
        tail = "".join(lines[node.end_lineno :])
        statement = " " * node.col_offset + f"{name} = {new.replace('{old}', old)}\n"
        self.write(head + statement + tail)
        return self

    def below(self, name: str, *new: str) -> "Edits":
        """New lines below a statement, with its indentation."""
        return self.insert(self.find(name).end_lineno, self.find(name).col_offset, new)

    def above(self, name: str, *new: str) -> "Edits":
        """New lines above a statement, with its indentation."""
        return self.insert(self.find(name).lineno - 1, self.find(name).col_offset, new)

    def insert(self, line: int, indentation: int, new: tuple[str, ...]) -> "Edits":
        lines = self.text.splitlines(keepends=True)
        lines[line:line] = [f"{' ' * indentation}{text}\n" for text in new]
        self.write("".join(lines))
        return self

    def top(self, *new: str) -> "Edits":
        """New lines, at the top level, above main()."""
        text = "\n".join(new)
        return self.replace("\ndef main() -> None:\n", f"\n{text}\n\n\ndef main() -> None:\n")

    def argument(self, function: str, new: str) -> "Edits":
        """One more argument in every call of a function."""
        calls = [
            node
            for node in ast.walk(ast.parse(self.text))
            if isinstance(node, ast.Call) and ast.unparse(node.func) == function
        ]
        assert calls, f"{self.path.name} has no call of {function}"
        for node in sorted(calls, key=lambda call: call.lineno, reverse=True):
            lines = self.text.splitlines(keepends=True)
            end = sum(len(line) for line in lines[: node.end_lineno - 1])
            end += len(lines[node.end_lineno - 1].encode()[: node.end_col_offset - 1].decode())
            before = self.text[:end].rstrip().removesuffix(",")
            self.write(f"{before}, {new}{self.text[end:]}")
        return self
