"""A candidate as a model: a rewritten graph over the prepared tensors."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import onnx

from qsearch.contracts.candidate import Candidate
from qsearch.contracts.choices import Choice
from qsearch.contracts.errors import DataError, Unsupported
from qsearch.quantize.flow import Flow
from qsearch.quantize.index import INDEX, MODEL, Index, read_index
from qsearch.quantize.int8_dynamic import rewrite_dynamic
from qsearch.quantize.int8_static import place_pairs, rewrite_static
from qsearch.quantize.regions import find_pairs
from qsearch.quantize.rewrite import Rewrite
from qsearch.quantize.standalone import standalone_bytes, write_standalone
from qsearch.quantize.tdq import rewrite_tdq
from qsearch.quantize.tensors import TENSORS, TensorReader
from qsearch.quantize.ternary import rewrite_ternary
from qsearch.quantize.weight_only import rewrite_weight_only


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """A candidate on disk."""

    #: the .onnx file
    path: Path
    #: SHA-256 (hex) of the .onnx file alone
    sha256: str
    #: bytes of the model as one self-contained file
    size_bytes: int


def assemble(prepared: Path, candidate: Candidate, out: Path) -> Assembled:
    """Write `out/model.onnx`, small, whose weights are those of `out/tensors.bin`, a hard link.

    No weight is read or written: this is what a trial costs. The tensor file is copied where
    linking is impossible (another file system). `out` is made; files of these names are replaced.

    NOTE: ONNX Runtime reads hard-linked data; onnx's own checker and loader refuse it. What ships is
    written by `write_model`.

    Raises:
        DataError: layers unknown or missing in the candidate, or a damaged prepared folder.
        Unsupported: a choice that a layer does not have.
    """
    model = _rewritten(prepared, candidate)
    out.mkdir(parents=True, exist_ok=True)
    _link(prepared / TENSORS, out / TENSORS)
    content = model.SerializeToString(deterministic=True)
    path = out / MODEL
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    return Assembled(path=path, sha256=hashlib.sha256(content).hexdigest(), size_bytes=standalone_bytes(model))


def write_model(prepared: Path, candidate: Candidate, file: Path) -> Assembled:
    """Write the same model as one file; above 2 GiB its weights go to `file` + ".data" beside it.

    Raises:
        DataError, Unsupported: as `assemble`.
    """
    model = _rewritten(prepared, candidate)
    file.parent.mkdir(parents=True, exist_ok=True)
    size = write_standalone(model, _load(prepared).reader, file)
    with file.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    return Assembled(path=file, sha256=sha256, size_bytes=size)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """A prepared folder, parsed. Read-only: it is shared by all calls."""

    model: onnx.ModelProto
    index: Index
    flow: Flow
    reader: TensorReader


def _load(folder: Path) -> _Prepared:
    try:
        stamp = (folder / INDEX).stat()
    except OSError as error:
        raise DataError(f"{folder} is no prepared model: it has no {INDEX}", "Prepare the model again.") from error
    return _parse(folder.resolve(), stamp.st_mtime_ns, stamp.st_ino)


@lru_cache(maxsize=4)
def _parse(folder: Path, _mtime_ns: int, _inode: int) -> _Prepared:
    """Parsed once per process and state of the folder; the stamps are there to tell states apart."""
    index = read_index(folder)
    model = onnx.ModelProto()
    try:
        model.ParseFromString((folder / MODEL).read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{folder / MODEL} cannot be read: {error}", "Prepare the model again.") from error
    reader = TensorReader(folder / TENSORS, index.tensors)
    return _Prepared(model=model, index=index, flow=Flow(model.graph), reader=reader)


def _rewritten(folder: Path, candidate: Candidate) -> onnx.ModelProto:
    prepared = _load(folder)
    _check(prepared.index, candidate)
    rewrite = Rewrite(prepared.model, prepared.flow, prepared.reader)
    sites = prepared.index.sites
    static = [s for layer, choice in candidate.choices.items() if choice is Choice.INT8_STATIC for s in sites[layer]]
    order = {name: i for i, name in enumerate(prepared.flow.nodes)}
    pairs = find_pairs(prepared.flow, sorted(static, key=lambda s: order[s.node]), prepared.index.ranges)
    place_pairs(rewrite, pairs)
    timed = [s for layer, choice in candidate.choices.items() if choice is Choice.TDQ for s in sites[layer]]
    if timed and prepared.index.times is not None:
        rewrite_tdq(rewrite, sorted(timed, key=lambda s: order[s.node]), prepared.index.times)
    for layer in prepared.index.layers:
        for site in sites[layer.id]:
            choice = candidate.choices[layer.id]
            if choice is Choice.INT8_STATIC:
                rewrite_static(rewrite, site, pairs[site.activation], prepared.index.merged)
            elif choice is Choice.INT8_DYNAMIC:
                rewrite_dynamic(rewrite, site)
            elif choice is Choice.TERNARY:
                rewrite_ternary(rewrite, site)
            elif choice not in {Choice.FP32, Choice.TDQ}:
                rewrite_weight_only(rewrite, site, choice)
    return rewrite.model()


def _check(index: Index, candidate: Candidate) -> None:
    layers = {layer.id: layer for layer in index.layers}
    unknown = [name for name in candidate.choices if name not in layers]
    if unknown:
        raise DataError(f"the candidate names a layer that the model does not have: {unknown[0]!r}")
    lacking = [name for name in layers if name not in candidate.choices]
    if lacking:
        raise DataError(f"the candidate names no choice for {len(lacking)} layers, the first is {lacking[0]!r}")
    for name, choice in candidate.choices.items():
        if choice not in layers[name].choices:
            known = ", ".join(layers[name].choices)
            raise Unsupported(f"layer {name!r} ({layers[name].op}) has no choice {choice!s}", f"It has: {known}")


def _link(source: Path, target: Path) -> None:
    if target.exists() and target.samefile(source):
        return
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
