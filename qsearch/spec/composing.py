"""Text to YAML nodes, with PyYAML's complaints put into our words and places."""

from __future__ import annotations

from typing import Any

import yaml

from qsearch.contracts.errors import Problem
from qsearch.spec.tree import MAX_DEPTH


def compose(text: str, problems: list[Problem]) -> yaml.Node | None:
    """The root node; None for an empty document or a text that is not YAML (then a problem is added)."""
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.reader.ReaderError as error:
        problems.append(_unprintable(text, error))
    except yaml.MarkedYAMLError as error:
        problems.append(_in_our_words(text, error))
    return None


class _Loader(yaml.SafeLoader):
    """Composes nodes, and refuses to go deeper than a spec ever needs."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem=f"nested deeper than {MAX_DEPTH} levels", problem_mark=mark)
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


def _unprintable(text: str, error: yaml.reader.ReaderError) -> Problem:
    at = int(error.position)
    line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
    return Problem("", f"a character that YAML does not allow (code {ord(text[at]):#x})", line, column)


def _in_our_words(text: str, error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    return Problem("", _message(text, error, line), line, column)


def _message(text: str, error: yaml.MarkedYAMLError, line: int) -> str:
    said = error.problem or error.context or "not YAML"
    lines = text.splitlines()
    written = lines[line - 1] if 0 < line <= len(lines) else ""
    if "'\\t'" in said or "\t" in written[: len(written) - len(written.lstrip())]:
        return "a tab; YAML is indented with spaces"
    for theirs, ours in _WORDS.items():
        if theirs in said:
            return ours
    return f"not YAML: {said}"


_WORDS = {
    "mapping values are not allowed here": "a second `key:` on one line, or a line indented too far",
    "expected <block end>": "indented unlike the lines above it",
    "could not find expected ':'": "expected `key: value`, found no colon",
    "found unexpected end of stream": "a quote that is never closed",
    "expected ',' or ']'": "a list [ ... ] that is never closed, or lacks a comma",
    "expected ',' or '}'": "a mapping { ... } that is never closed, or lacks a comma",
    "that cannot start any token": "a character that needs quotes around the text",
    "found undefined alias": "an alias (*name) whose anchor (&name) is nowhere above",
    "but found another document": "a second document (---); expected one",
    "nested deeper than": f"nested deeper than {MAX_DEPTH} levels",
}
