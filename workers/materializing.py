"""`materialize`: the user's task, or an .npz, becomes three splits of tensors on disk. Once per job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from qsearch.contracts.causes import Cause
from qsearch.contracts.errors import DataError, WorkFailed
from qsearch.contracts.target import Target
from qsearch.contracts.task import Feeds
from qsearch.contracts.work import Materialized, MaterializeOrder
from qsearch.graph.signature import Signature, read_signature
from qsearch.measure.metrics import metric
from qsearch.measure.ort import OnnxRuntime
from qsearch.measure.samples import read_samples
from workers.npz_data import npz_task
from workers.scoring import is_builtin, user_code
from workers.splits import SPLITS, split_file, write_splits

#: to write a drop limit for the one fidelity that nobody thinks of in percent
_DECIBELS = "fp32 itself has 144.5 dB, so that what keeps 40 dB is within a drop limit of 73%, what keeps 60 dB of 59%"


def materialize(order: MaterializeOrder, scratch: Path, deadline_s: float) -> Materialized:
    """Write `splits/` below scratch and say what is in it.

    Raises:
        WorkFailed: USER_ERROR from the task's code.
        DataError: inputs that the model does not have, or of another type or rank.
    """
    out = scratch / "splits"
    model = read_signature(Path(order.model.path))
    found = _from_task(order, out, deadline_s) if order.task else _from_npz(order, model, out)
    if order.metric and order.task:
        found = _rescored(found, order.metric)
    for batch in order.batches:
        for split in SPLITS:
            feeds = read_samples(split_file(out, split, batch)).feeds
            for one in (feeds[0], feeds[-1]):  # the last batch may be a partial one
                _check_feeds(model, one, split)
    return found


def _from_task(order: MaterializeOrder, out: Path, deadline_s: float) -> Materialized:
    request: dict[str, object] = {"do": "materialize", "task": order.task, "folder": order.folder}
    answer = user_code.ask(request | {"batches": list(order.batches), "out": str(out)}, deadline_s)
    samples = answer["samples"]
    if not isinstance(samples, Mapping):
        raise WorkFailed(Cause.INFRA, "the task's child gave no counts of samples")
    found = Materialized(
        digest=str(answer["digest"]),
        metric=str(answer["metric"]),
        higher_is_better=bool(answer["higher_is_better"]),
        score=str(answer["score"]),
        samples={str(k): int(v) for k, v in samples.items()},
        per_sample=bool(answer.get("per_sample", False)),
    )
    return _rescored(found, found.score) if is_builtin(found.score) else found


def _from_npz(order: MaterializeOrder, model: Signature, out: Path) -> Materialized:
    if order.data is None:
        raise DataError("the job has neither a task nor data", "Give `task: module:function` or `data: {path: x.npz}`.")
    task, labelled = npz_task(Path(order.data.path), tuple(model.ports), order.seed)
    notes: tuple[str, ...] = ()
    score = order.metric
    if not score:
        score = "top1" if labelled else _fidelity(order, task.calibration.samples[0])
        notes = () if labelled else (f"no labels: the metric is fidelity to fp32 ({score}), not accuracy",)
        notes += (_DECIBELS,) if score == "sqnr-to-fp32" else ()
    if metric(score).needs_labels and not labelled:
        raise DataError(
            f"metric {score} needs labels and {order.data.path} has no array named 'labels'",
            "Add one label per sample as `labels`, or use metric: cosine-to-fp32.",
        )
    digest = write_splits(replace(task, metric=score, score=score), order.batches, out)
    counts = {name: len(getattr(task, name).samples) for name in SPLITS}
    return Materialized(
        digest=digest,
        metric=score,
        higher_is_better=metric(score).higher_is_better,
        score=score,
        samples=counts,
        notes=notes,
        per_sample=metric(score).per_sample,
    )


def _rescored(found: Materialized, name: str) -> Materialized:
    """The same samples under a built-in metric.

    NOTE: another function of the user's is refused here, because a name cannot say in which direction
    it is better, and a drop turned round would make the search look for the worst.
    """
    if not is_builtin(name):
        raise DataError(
            f"metric: {name} beside a task is no built-in metric",
            "A function of your own belongs into the task: Task(score=..., higher_is_better=...).",
        )
    known = metric(name)
    return replace(found, metric=name, score=name, higher_is_better=known.higher_is_better, per_sample=known.per_sample)


def _fidelity(order: MaterializeOrder, sample: Feeds) -> str:
    """Top-1 agreement where the first output is a distribution over classes, else cosine; decibels for a single number.

    NOTE: the one thing here that needs the model run, and any runtime tells it; so it is the worker's own.
    """
    model = OnnxRuntime().load(Path(order.model.path), Target(name="probe"))
    outputs = model.run({name: np.asarray(value)[None] for name, value in sample.items()})
    first = np.asarray(next(iter(outputs.values())))
    if sum(np.size(value) for value in outputs.values()) < 2:
        # two vectors of one number have no angle
        return "sqnr-to-fp32"
    distribution = (
        first.ndim == 2
        and first.shape[1] > 1
        and bool((first >= 0).all())
        and bool(np.isclose(first.sum(), 1, atol=1e-3))
    )
    return "agreement-to-fp32" if distribution else "cosine-to-fp32"


def _check_feeds(model: Signature, feeds: Feeds, split: str) -> None:
    wanted = model.ports
    if set(feeds) != set(wanted):
        raise DataError(
            f"the {split} samples have the inputs {sorted(feeds)}; the model wants {sorted(wanted)}",
            "Name the arrays exactly like the model's inputs (qsearch inspect MODEL lists them).",
        )
    for name, (dtype, shape) in wanted.items():
        value = np.asarray(feeds[name])
        if value.dtype.name != dtype:
            raise DataError(f"input {name!r} of the {split} samples is {value.dtype.name}; the model wants {dtype}")
        fits = value.ndim == len(shape) and all(
            not isinstance(want, int) or want == got for want, got in zip(shape, value.shape, strict=True)
        )
        if not fits:
            raise DataError(f"input {name!r} of the {split} samples has shape {value.shape}; the model wants {shape}")
