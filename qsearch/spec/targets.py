"""Targets by name: YAML files beside a spec, then packaged ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from qsearch.contracts.errors import NotFound, SpecError
from qsearch.contracts.scenario import scenario_of
from qsearch.contracts.target import Target
from qsearch.spec.naming import is_name
from qsearch.spec.packaged import configs_folder
from qsearch.spec.words import meant_or_known

if TYPE_CHECKING:
    from qsearch.spec.document import TargetDocument


def find_target(name: str, folder: Path | None) -> Target:
    """The target of that name.

    Args:
        name: a file's name without its ending.
        folder: a spec's folder, whose `targets/` is looked at first; None = packaged ones only.

    Raises:
        NotFound: no such file; names the nearest one, or all of them.
        SpecError: the file is there and wrong.
    """
    files = _files(folder)
    if name in files:
        return _read(files[name])
    raise NotFound(f'unknown target "{name}"; {meant_or_known(name, files)}')


def list_targets(folder: Path | None = None) -> tuple[Target, ...]:
    """Every target that a spec in `folder` can name, by name; packaged ones only when None.

    Raises:
        SpecError: one of the files is wrong.
    """
    return tuple(_read(file) for _, file in sorted(_files(folder).items()))


def to_target(document: TargetDocument, name: str = "", *, folder: Path) -> Target:
    """The record of a target document; without a name it is named by what it says.

    Args:
        document: as it was read.
        name: of its file.
        folder: where it lies; an interpreter's path is relative to it.
    """
    runtime, python = _runtime(document, folder)
    provider, provider_options = _provider(document)
    scenario = scenario_of(document.scenario or "", document.batch)
    plain = f"{runtime}-{provider.lower()}-{document.threads}threads-batch{document.batch}"
    if scenario is not scenario_of("", document.batch):
        plain += f"-{scenario}"
    return Target(
        name=name or document.name or plain,
        runtime=runtime,
        provider=provider,
        threads=document.threads,
        batch=document.batch,
        labels=dict(document.labels),
        options=dict(document.options),
        python=python,
        provider_options=provider_options,
        scenario=document.scenario or "",
    )


def _runtime(document: TargetDocument, folder: Path) -> tuple[str, str]:
    if isinstance(document.runtime, str):
        return document.runtime, ""
    # not `resolve`: an environment's interpreter is a link to the one that it was made by
    python = os.path.abspath(folder / os.path.expanduser(document.runtime.python))
    return document.runtime.name, python


def _provider(document: TargetDocument) -> tuple[str, dict[str, str]]:
    if isinstance(document.provider, str):
        return document.provider, {}
    return document.provider.name, dict(document.provider.options)


def _files(folder: Path | None) -> dict[str, Path]:
    """Name → file; the ones beside the spec hide packaged ones."""
    folders = [configs_folder() / "targets"]
    if folder is not None:
        folders.append(folder / "targets")
    return {file.stem: file for place in folders for file in sorted(place.glob("*.y*ml")) if is_name(file.stem)}


def _read(file: Path) -> Target:
    from qsearch.spec.complaints import in_order, read_document
    from qsearch.spec.document import TargetDocument
    from qsearch.spec.tree import read_tree

    tree, _ = read_tree(file, what="target")
    document, problems = read_document(TargetDocument, tree)
    if document is not None and document.name not in (None, file.stem):
        problems.append(tree.problem(("name",), f'a target is named by its file; remove it or write "{file.stem}"'))
    if document is None or problems or tree.problems:
        raise SpecError(str(file), in_order([*tree.problems, *problems]))
    return to_target(document, file.stem, folder=file.absolute().parent)
