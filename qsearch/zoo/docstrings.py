"""Pairs of (what a Python function is called, what its docstring says), from the standard library.

Every machine that runs QSearch has them, so a retrieval task needs no download. The sources are
parsed, never imported: importing `antigravity` opens a browser.
"""

from __future__ import annotations

import ast
import hashlib
import re
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: fewer words than this say nothing that could be found again: "See base class."
LEAST_WORDS = 5
#: folders of the standard library that hold tests or foreign code
_SKIPPED = frozenset({"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"})

_Documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One documented function, class or method."""

    #: "collections.OrderedDict.move_to_end"
    name: str
    #: the words of the qualified name and of the parameters, lower case
    query: str
    #: the first paragraph of the docstring on one line
    document: str


def pairs(seed: int, library: Path | None = None) -> list[Pair]:
    """All pairs of the standard library, each query and each document once.

    The order depends on the names and the seed only, not on the file system; the pairs themselves
    depend on the version of Python.

    Args:
        seed: shuffles.
        library: folder of the sources; None = this interpreter's.
    """
    root = library or Path(sysconfig.get_path("stdlib"))
    # sorted first: of equal docstrings the one with the smallest name stays, wherever it was found
    found = sorted(_collect(root), key=lambda pair: pair.name)
    queries: set[str] = set()
    documents: set[str] = set()
    kept = []
    for pair in found:
        document = pair.document.casefold()
        if pair.query not in queries and document not in documents:
            kept.append(pair)
            queries.add(pair.query)
            documents.add(document)
    return sorted(kept, key=lambda pair: hashlib.sha256(f"{seed}:{pair.name}".encode()).digest())


def words(name: str) -> str:
    """The words of an identifier or a dotted name: "HTTPServer.do_GET" → "http server do get"."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    return " ".join(re.split(r"[^A-Za-z0-9]+", apart)).strip().lower()


def _collect(root: Path) -> Iterator[Pair]:
    for top in sys.stdlib_module_names:
        for file in _sources(root, top):
            try:
                tree = ast.parse(file.read_bytes())
            except (SyntaxError, ValueError):
                # lib2to3 carries broken files on purpose
                continue
            module = ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
            yield from _documented(tree, module)


def _sources(root: Path, top: str) -> Iterator[Path]:
    if (root / f"{top}.py").is_file():
        yield root / f"{top}.py"
    for file in (root / top).rglob("*.py"):
        if top not in _SKIPPED and not _SKIPPED.intersection(file.relative_to(root).parts):
            yield file


def _documented(node: ast.AST, prefix: str) -> Iterator[Pair]:
    """Pairs of what is defined directly in a module or class, and of the classes in it."""
    for inner in ast.iter_child_nodes(node):
        if not isinstance(inner, _Documented):
            continue
        name = f"{prefix}.{inner.name}"
        document = " ".join((ast.get_docstring(inner) or "").split("\n\n")[0].split())
        if len(document.split()) >= LEAST_WORDS:
            yield Pair(name=name, query=_query(name, inner), document=document)
        if isinstance(inner, ast.ClassDef):
            yield from _documented(inner, name)


def _query(name: str, node: _Documented) -> str:
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(words(ast.unparse(base)) for base in node.bases)
        return f"class {words(name)}" + (f" ({bases})" if bases else "")
    given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    named = [argument.arg for argument in given if argument.arg not in ("self", "cls")]
    return f"{words(name)} ({', '.join(words(argument) for argument in named)})"
