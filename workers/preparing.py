"""`inspect` and `prepare`: read a model; normalise, calibrate, quantize weights, score fp32."""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np

from qsearch.contracts.candidate import Candidate
from qsearch.contracts.choices import Choice
from qsearch.contracts.errors import DataError
from qsearch.contracts.layer import Inspection, Layer
from qsearch.contracts.measurement import Accuracy
from qsearch.contracts.task import Feeds
from qsearch.contracts.work import InspectOrder, Prepared, PrepareOrder
from qsearch.graph.inspection import inspect_model
from qsearch.graph.signature import read_signature
from qsearch.measure.fingerprint import saturates, this_machine
from qsearch.measure.samples import read_samples, reshape_feeds, write_samples
from qsearch.quantize import QUANTIZER
from qsearch.quantize.assemble import assemble
from qsearch.quantize.prepare import prepare_model
from qsearch.quantize.rounding import WeightRules
from workers.calibrator import Calibrator, capabilities_for
from workers.scoring import accuracy, score_split
from workers.sitting import Predicted, predict
from workers.slot_lock import LOCK_WAIT_S, machine_lock, slot_lock
from workers.splits import split_file

#: real samples that every arm runs in the same order; enough to be the data's mix, few enough to repeat
LATENCY_SAMPLES = 64
#: samples of unlike shapes: as many as run in so many seconds, but never fewer than these
MIX_S, LEAST_SAMPLES = 0.25, 8


def inspect(order: InspectOrder, scratch: Path, deadline_s: float) -> Inspection:
    """Layers, sizes and inputs of a model; nothing is run and nothing is written."""
    inspection, _ = inspect_model(
        Path(order.model.path),
        capabilities=capabilities_for(order.target),
        choices=order.choices,
        time_input=order.model.time_input,
    )
    return inspection


def prepare(order: PrepareOrder, scratch: Path, deadline_s: float) -> Prepared:
    """Write `prepared/` below scratch; score fp32 on the search split on this machine.

    NOTE: fp32's outputs on the search split are kept (`reference.npz`), so that metrics of fidelity
    and the paired drop of every trial compare with one and the same run of the reference.
    """
    started = time.monotonic()
    out = scratch / "prepared"
    machine = this_machine()
    calibrator = Calibrator(order.target)
    exact = order.target.options.get("session.x64quantprecision") == "1"
    with slot_lock(machine_lock(), exclusive=False, timeout_s=LOCK_WAIT_S):
        model = prepare_model(
            Path(order.model.path),
            out,
            calibration=read_samples(split_file(Path(order.splits), "calibration", order.target.batch)).feeds,
            runtime=calibrator,
            target=order.target,
            choices=order.choices,
            rules=WeightRules(bits=7 if saturates(machine) and not exact else 8),
            time_input=order.model.time_input,
        )
    prepared_s = time.monotonic() - started
    reference, predicted, scoring_s = _reference(order, out, model.inspection.layers, scratch, deadline_s)
    _write_latency_samples(order, out, predicted.seconds)
    return Prepared(
        digest=model.digest,
        inspection=model.inspection,
        quantizer=QUANTIZER,
        machine=machine,
        circumstances=predicted.circumstances,
        reference=reference,
        notes=(*model.notes, *calibrator.notes),
        seconds={
            **model.seconds,
            "prepare": prepared_s,
            "reference": time.monotonic() - started - prepared_s - scoring_s,
            "score": scoring_s,
        },
    )


def all_fp32(layers: tuple[Layer, ...]) -> Candidate:
    """The reference: every layer as it is."""
    return Candidate(choices=dict.fromkeys((layer.id for layer in layers), Choice.FP32))


def _write_latency_samples(order: PrepareOrder, out: Path, split_s: float) -> None:
    """Full batches spread evenly over the split, so that sorted data are timed in their own mix.

    With `shapes` every sample is cut to every shape; the count shrinks so that all shapes have equal shares.

    NOTE: where shapes differ a block runs all of these samples, so that both arms of a pair do the same
    work. What a block may last (`MIX_S`) therefore limits how many of a slow model's samples are timed.

    Args:
        split_s: seconds that fp32 took for the whole split; tells how slow a sample is.
    """
    found = read_samples(split_file(Path(order.splits), "search", order.target.batch))
    full: list[Feeds] = [f for f, size in zip(found.feeds, found.sizes, strict=True) if size == order.target.batch]
    if not full:
        raise DataError(
            f"the search split has {sum(found.sizes)} samples, fewer than one batch of {order.target.batch}",
            "Give more samples, or a target with a smaller batch.",
        )
    mixes = math.prod(len(sizes) for sizes in order.shapes.values())
    one_shape = len({tuple(np.shape(v) for v in f.values()) for f in full}) == 1 and mixes == 1
    fits = LATENCY_SAMPLES if one_shape else max(LEAST_SAMPLES, int(MIX_S / (split_s / len(found.feeds))))
    wanted = min(len(full), max(1, min(LATENCY_SAMPLES, fits) // mixes))
    feeds: list[Feeds] = [full[i * len(full) // wanted] for i in range(wanted)]
    if order.shapes:
        feeds = reshape_feeds(feeds, read_signature(Path(order.model.path)).ports, order.shapes)
    write_samples(out / "latency.npz", feeds, {}, [order.target.batch] * len(feeds))


def _reference(
    order: PrepareOrder, prepared: Path, layers: tuple[Layer, ...], scratch: Path, deadline_s: float
) -> tuple[Accuracy, Predicted, float]:
    samples = split_file(Path(order.splits), "search", order.target.batch)
    fp32 = assemble(prepared, all_fp32(layers), scratch / "fp32")
    outputs = prepared / "reference.npz"
    predicted = predict(fp32.path, order.target, samples, outputs, deadline_s=deadline_s, lock=machine_lock())
    started = time.monotonic()
    scores = score_split(order.materialized, order.folder, samples, outputs, outputs, scratch)
    scoring_s = time.monotonic() - started
    reference = accuracy(scores, order.materialized, "search", None)
    if reference.higher_is_better and reference.score <= 0:
        raise DataError(
            f"fp32 itself scores {reference.score:g} {reference.metric} on {reference.n} search samples",
            "Check the labels: do they number the classes as the model's outputs do, in the samples' order?",
        )
    return reference, predicted, scoring_s
