"""What pydantic says, as problems with places and in our words."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from qsearch.contracts.errors import Problem
from qsearch.spec.document import TAGS, Document
from qsearch.spec.fields import EXPECTED, SAID
from qsearch.spec.tree import Steps, Tree, dotted, found_in_words
from qsearch.spec.words import meant_or_known

Kind = TypeVar("Kind", bound=Document)

#: most problems that are shown; a file of another kind would fill the screen
MAX_SHOWN = 20


def read_document(kind: type[Kind], tree: Tree) -> tuple[Kind | None, list[Problem]]:
    """The document that a tree holds, or every problem in it."""
    try:
        return kind.model_validate(tree.data), []
    except ValidationError as error:
        return None, [_problem(kind, tree, found) for found in error.errors(include_url=False)]


def in_order(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """By place, without repetitions, and not more than a person reads."""
    unique = sorted({_on_one_line(p) for p in problems}, key=lambda p: (p.line, p.column, p.path, p.message))
    shown = tuple(unique[:MAX_SHOWN])
    hidden = len(unique) - len(shown)
    return (*shown, Problem("", f"and {hidden} more problems")) if hidden else shown


def _on_one_line(problem: Problem) -> Problem:
    """What a file holds may hold line breaks and escape codes; a message shows them as escapes."""
    path, message = (
        "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
        for text in (problem.path, problem.message)
    )
    return replace(problem, path=path, message=message)


def _problem(kind: type[Document], tree: Tree, error: Mapping[str, Any]) -> Problem:
    steps: Steps = tuple(step for step in error["loc"] if step not in (*TAGS, "[key]"))
    if error["type"] == "extra_forbidden":
        return tree.problem(steps, _unknown_key(kind, steps), of_key=True)
    if error["type"] == "missing":
        line, column = tree.place(steps[:-1], of_key=True)
        return Problem(dotted(steps), "this key is required", line, column)
    return tree.problem(steps, _message(tree, steps, error))


def _message(tree: Tree, steps: Steps, error: Mapping[str, Any]) -> str:
    said, context = error["type"], error.get("ctx", {})
    if said == SAID:
        return str(context["message"])
    if said == "too_short":
        return "expected at least one entry"
    if said == "string_too_short":
        return "expected text, found nothing between the quotes"
    wanted = str(context["what"]) if said == EXPECTED else _WANTED.get(said, "")
    if said in _BOUNDS:
        sign, key = _BOUNDS[said]
        wanted = f"a whole number {sign} {context[key]}"
    if not wanted:
        wanted = f"something else ({error['msg']})"
    found = found_in_words(tree, steps)
    if said == "list_type" and steps in tree.raw:
        found += f"; write [{tree.raw[steps]}]"
    return f"expected {wanted}, found {found}"


_WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "literal_error": "a mapping of axis names to sizes, or data",
}
_BOUNDS = {
    "greater_than_equal": ("≥", "ge"),
    "less_than_equal": ("≤", "le"),
    "less_than": ("<", "lt"),
}


def _unknown_key(kind: type[Document], steps: Steps) -> str:
    """Where the key belongs; else the nearest key at this place; else all keys of this place."""
    key = str(steps[-1])
    here = _document_at(kind, steps[:-1])
    elsewhere = [dotted(place) for place in _places(kind) if place[-1] == key and "targets" not in place]
    if elsewhere:
        return f'unknown key here; did you mean "{elsewhere[0]}"?'
    return f"unknown key; {meant_or_known(key, here.model_fields)}"


def _document_at(kind: type[Document], steps: Steps) -> type[Document]:
    for step in steps:
        if isinstance(step, str) and step in kind.model_fields:
            kind = _documents(kind.model_fields[step].annotation)[0]
    return kind


@cache
def _places(kind: type[Document]) -> tuple[tuple[str, ...], ...]:
    """Steps to every key of a document and of those inside it, outer ones first."""
    inner = [
        (name, *place)
        for name, field in kind.model_fields.items()
        for document in _documents(field.annotation)
        for place in _places(document)
    ]
    return (*((name,) for name in kind.model_fields), *inner)


def _documents(annotation: Any) -> list[type[Document]]:
    return list(_walk(annotation))


def _walk(annotation: Any) -> Iterator[type[Document]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if issubclass(annotation, Document):
            yield annotation
    elif get_origin(annotation) in (Annotated, Union, types.UnionType, list, dict):
        for part in get_args(annotation):
            yield from _walk(part)
