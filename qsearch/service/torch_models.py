"""Torch models become files before their jobs are made."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from qsearch.contracts.codec import to_data
from qsearch.contracts.errors import JobFailed
from qsearch.contracts.job import JobSpec
from qsearch.contracts.torch_work import Exported, ExportOrder
from qsearch.contracts.work import WorkKind
from qsearch.service.preparing import expect
from qsearch.service.workshop import Workshop
from qsearch.store.artifacts import ArtifactStore

EXPORT_DEADLINE_S = 1800.0
#: name of the file within an exported artifact
MODEL = "model.onnx"


def with_file(workshop: Workshop, spec: JobSpec, artifacts: ArtifactStore | None = None) -> JobSpec:
    """The spec with the path of an .onnx file: as it is, or with its torch model exported.

    NOTE: exported anew for every job. The factory's module may import anything, so that nobody but the
    user knows whether its model changed; equal exports are equal files, and so one artifact.

    Args:
        workshop: where the factory is run.
        spec: of the job that is about to be made.
        artifacts: where the file is kept; without it, it lasts as long as the workshop's folder.

    Raises:
        TaskError: the user's factory failed, or returned something else than a `TorchModel`.
        InputError: the module cannot be exported, or the file computes something else.
    """
    model = spec.model
    if not model.torch or model.path:
        return spec
    order = ExportOrder(torch=model.torch, folder=spec.folder)
    found, scratch = workshop.do(WorkKind.EXPORT, "export-torch", order, spec.targets[0], EXPORT_DEADLINE_S)
    exported = expect(found, Exported)
    folder = scratch / "exported"
    if artifacts is not None:
        folder = _kept(artifacts, exported, folder)
        shutil.rmtree(scratch, ignore_errors=True)
    return replace(spec, model=replace(model, path=str(folder / MODEL)))


def _kept(artifacts: ArtifactStore, exported: Exported, folder: Path) -> Path:
    artifacts.adopt("exported", exported.digest, folder, to_data(exported))
    kept = artifacts.find("exported", exported.digest)
    if kept is None:
        raise JobFailed("the exported model is not in the artifact store although it was just kept")
    return kept[1]
