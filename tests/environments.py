"""Environments of other interpreters, made for a test: a venv that holds links to a few packages and nothing else."""

from __future__ import annotations

import importlib.util
import venv
from collections.abc import Sequence
from pathlib import Path


def make_environment(folder: Path, packages: Sequence[str] = ("numpy", "onnxruntime")) -> str:
    """Its interpreter. No pip, no download: the packages are links to those of this environment."""
    venv.create(folder, with_pip=False, symlinks=True)
    site = next((folder / "lib").glob("python3*/site-packages"))
    for name in packages:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        source = Path(spec.origin).parent
        for part in (source, source.with_name(f"{name}.libs")):
            if part.exists():
                (site / part.name).symlink_to(part)
    return str(folder / "bin" / "python")
