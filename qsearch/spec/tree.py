"""YAML text to plain data in which every value remembers its place.

NOTE: the text is composed to nodes and read here, instead of by `yaml.safe_load`, for four reasons:
places for messages; duplicate keys are refused, where YAML libraries keep the last one silently;
YAML 1.1 reads `no` and `on` as booleans, `010` as 8 and `1:30` as 90, so the words are told apart
and the odd numbers stay text; and what aliases expand to is bounded (an alias of an alias of an
alias makes gigabytes from a hundred bytes).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qsearch.contracts.errors import Problem, SpecError

if TYPE_CHECKING:
    import yaml

#: steps from the document to a value: keys and indices
Steps = tuple[str | int, ...]
Place = tuple[int, int]

#: longest file that is read, bytes; a spec is a page
MAX_BYTES = 256 * 1024
#: values after aliases are expanded
MAX_VALUES = 20_000
#: mappings and lists inside one another
MAX_DEPTH = 20

_TAG = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
_EXPONENT = re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]{1,3}")


@dataclass(slots=True)
class Tree:
    """What a YAML file says, and where it says it."""

    #: as messages name the file
    source: str
    data: Any = None
    #: steps of a value → line and column of the value, 1-based
    values: dict[Steps, Place] = field(default_factory=dict)
    #: steps of a value → line and column of its key
    keys: dict[Steps, Place] = field(default_factory=dict)
    #: steps of a value → how its plain scalar is written; absent when it is quoted
    raw: dict[Steps, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def place(self, steps: Steps, *, of_key: bool = False) -> Place:
        """Line and column of a value or its key; of the nearest thing around it when it is absent."""
        while steps and steps not in self.values:
            steps, of_key = steps[:-1], True
        if of_key and steps in self.keys:
            return self.keys[steps]
        return self.values.get(steps, (1, 1))

    def problem(self, steps: Steps, message: str, *, of_key: bool = False) -> Problem:
        """A problem at a value, with its place."""
        line, column = self.place(steps, of_key=of_key)
        return Problem(dotted(steps), message, line, column)


def dotted(steps: Steps) -> str:
    """`space.choices[2]`; keys that are no plain words are quoted: `space.pin["*embed*"]`."""
    path = ""
    for step in steps:
        if isinstance(step, int):
            path += f"[{step}]"
        elif re.fullmatch(r"[A-Za-z_][\w-]*", step):
            path += f".{step}" if path else step
        else:
            path += f'["{step}"]'
    return path


def read_tree(path: Path, *, what: str = "job spec") -> tuple[Tree, str]:
    """Read and parse a file whose document is a mapping; its text comes along.

    Args:
        what: what the file should be, for messages.

    Raises:
        SpecError: it cannot be read, is not YAML, is empty, or is not a mapping.
    """
    text = read_text(path, what=what)
    tree = parse_tree(text, str(path))
    if isinstance(tree.data, dict):
        return tree, text
    if not tree.problems and tree.data is None:
        raise SpecError(str(path), (Problem("", f"the file is empty; expected a {what}"),), _INIT_HINT)
    if not tree.problems:
        found = f"expected a mapping of keys such as `model: ...`, found {found_in_words(tree, ())}"
        tree.problems.append(tree.problem((), found))
    raise SpecError(str(path), tuple(tree.problems))


def read_text(path: Path, *, what: str = "job spec") -> str:
    """The text of a small UTF-8 file.

    Raises:
        SpecError: missing, a folder, unreadable, too large, or not UTF-8 (with the place).
    """
    whole = path.absolute()
    try:
        if path.stat().st_size > MAX_BYTES:
            raise SpecError(str(path), (Problem("", f"expected a {what} of at most {MAX_BYTES // 1024} KiB"),))
        content = path.read_bytes()
    except FileNotFoundError:
        hint = _INIT_HINT if what == "job spec" else ""
        raise SpecError(str(path), (Problem("", f"no such file; looked at {whole}"),), hint) from None
    except IsADirectoryError:
        raise SpecError(str(path), (Problem("", f"expected a {what}, found a folder"),)) from None
    except OSError as error:
        raise SpecError(str(path), (Problem("", f"cannot be read: {error.strerror}"),)) from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        raise SpecError(str(path), (Problem("", "expected UTF-8 text, found other bytes", line, column),)) from error


def parse_tree(text: str, source: str) -> Tree:
    """The tree of a YAML text; what is wrong with it is in `problems`. Never raises on bad text."""
    from qsearch.spec.composing import compose

    tree = Tree(source)
    node = compose(text, tree.problems)
    if node is not None:
        tree.data = _Reader(tree).read(node, ())
    return tree


def found_in_words(tree: Tree, steps: Steps) -> str:
    """What stands at a value, for the second half of `expected ..., found ...`."""
    value: Any = tree.data
    for step in steps:
        value = value[step]
    if isinstance(value, bool):
        raw = tree.raw.get(steps, "")
        if raw.lower() in ("true", "false"):
            return f"the truth value {raw}"
        return f'{raw}, which YAML reads as {str(value).lower()}; write "{raw}" in quotes'
    if value is None:
        return "nothing"
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    if isinstance(value, int | float):
        return f"the number {tree.raw.get(steps, value)}"
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value)
    return f'"{shown if len(shown) <= 60 else shown[:57] + "..."}"'


class _Reader:
    """One walk over the nodes, noting places and problems."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._left = MAX_VALUES
        self._open: list[yaml.Node] = []

    def read(self, node: yaml.Node, steps: Steps) -> Any:
        tree = self._tree
        tree.values[steps] = _place(node)
        self._left -= 1
        if self._left < 0:
            if self._left == -1:
                self._refuse(node, steps, f"aliases expand to more than {MAX_VALUES} values; write them out")
            return None
        if any(node is above for above in self._open):
            self._refuse(node, steps, "an alias (*name) inside its own anchor (&name)")
            return None
        kind = type(node).__name__
        if node.tag.removeprefix(_TAG) not in _TAGS[kind]:
            shown = node.tag.replace(_TAG, "!!")
            self._refuse(node, steps, f"the tag {shown} is not read; remove it")
            return None
        if kind == "ScalarNode":
            return self._scalar(node, steps)
        self._open.append(node)
        value = self._mapping(node, steps) if kind == "MappingNode" else self._sequence(node, steps)
        self._open.pop()
        return value

    def _sequence(self, node: yaml.Node, steps: Steps) -> list[Any]:
        return [self.read(item, (*steps, i)) for i, item in enumerate(node.value)]

    def _mapping(self, node: yaml.Node, steps: Steps) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if self._left < 0:
                break
            key = self._key(key_node, steps)
            if key is None:
                continue
            if key in found:
                first = self._tree.keys[(*steps, key)][0]
                self._refuse(key_node, (*steps, key), f"duplicate key; the first is in line {first}")
                continue
            self._tree.keys[(*steps, key)] = _place(key_node)
            found[key] = self.read(value_node, (*steps, key))
        return found

    def _key(self, node: yaml.Node, steps: Steps) -> str | None:
        tag = node.tag.removeprefix(_TAG)
        if tag == "str":
            key = _joined(node.value)
            if key is None:
                self._refuse(node, steps, _HALF)
            return key
        if tag == "merge":
            self._refuse(node, steps, "merge keys (<<) are not read; write the keys out")
        elif tag == "bool" and node.value.lower() not in ("true", "false"):
            self._refuse(node, steps, f'the key {node.value} is a truth value in YAML; write "{node.value}" in quotes')
        else:
            shown = f" {node.value}" if isinstance(node.value, str) else ""
            self._refuse(node, steps, f"keys are text, found the key{shown or ' of a list or mapping'}; use quotes")
        return None

    def _scalar(self, node: yaml.Node, steps: Steps) -> Any:
        tag, text = node.tag.removeprefix(_TAG), _joined(node.value)
        if text is None:
            self._refuse(node, steps, _HALF)
            return None
        if node.style is None:  # type: ignore[attr-defined]
            self._tree.raw[steps] = text
        if tag == "null":
            return None
        if tag == "bool":
            return text.lower() in ("yes", "true", "on")
        if tag == "int" and _INTEGER.fullmatch(text):
            return int(text)
        if tag == "float" and _FLOAT.fullmatch(text):
            return float(text)
        # YAML 1.1 wants a dot in a number, JSON and YAML 1.2 do not
        if node.style is None and _EXPONENT.fullmatch(text):  # type: ignore[attr-defined]
            return float(text)
        return text

    def _refuse(self, node: yaml.Node, steps: Steps, message: str) -> None:
        self._tree.problems.append(Problem(dotted(steps), message, *_place(node)))


_HALF = "an escape (\\ud800 to \\udfff) that is half a character"
_INIT_HINT = "Write one with: qsearch init MODEL"
_TAGS = {
    "ScalarNode": ("str", "null", "bool", "int", "float", "timestamp", "value"),
    "MappingNode": ("map",),
    "SequenceNode": ("seq",),
}


def _joined(text: str) -> str | None:
    """JSON writes rare characters as two escapes, which YAML leaves apart; None when one is alone."""
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        return None


def _place(node: yaml.Node) -> Place:
    return node.start_mark.line + 1, node.start_mark.column + 1
