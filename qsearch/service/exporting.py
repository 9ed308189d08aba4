"""`export`: a trial as a folder that can be deployed, checked and reproduced without QSearch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from qsearch import __version__
from qsearch.contracts.codec import digest_of, to_data
from qsearch.contracts.errors import NotFound, UsageError
from qsearch.contracts.job import Job
from qsearch.contracts.measurement import Accuracy, Measurement
from qsearch.contracts.target import Target
from qsearch.contracts.trial import Result
from qsearch.contracts.views import ExportReceipt
from qsearch.contracts.work import Prepared, Verification, VerifyOrder, WorkKind
from qsearch.measure.ort_providers import short
from qsearch.service.export_loader import LOADERS
from qsearch.service.export_texts import readme
from qsearch.service.noise import known_luck
from qsearch.service.preparing import Preparer, Where, expect
from qsearch.service.workplace import Workplace

#: seconds that load.py has to load the model and compare a few batches
LOADER_S = 600.0
#: every file that an export may write; weights stand beside a model above 2 GiB
_OWN = (
    "model.onnx",
    "model.onnx.data",
    "check.npz",
    "candidate.json",
    "manifest.json",
    "session.json",
    "load.py",
    "README.md",
    "verification.json",
)


def export(place: Workplace, job: Job, number: int, out: Path, *, verify: bool, force: bool) -> ExportReceipt:
    """Write model.onnx, candidate.json, manifest.json, session.json, load.py, check.npz and README.md.

    With `verify` the written file is loaded as a user would load it, through load.py, with the target's
    session options or properties and without them; its outputs are compared with the trial's, and its
    latency and accuracy are measured again. Disagreements are in the receipt. With `force`, what an
    earlier export has left in the folder goes, and nothing else does.

    Raises:
        UsageError: the folder has something in it and `force` is not given, or it cannot be written.
        NotFound: the trial has no accepted measurement, or its prepared model is no longer stored.
    """
    out = out.expanduser().resolve()
    measurement = place.ledger.measurement(job.id, number)
    trial = place.ledger.trial(job.id, number)
    if measurement is None:
        raise NotFound(f"trial {job.id}/{number} is {trial.state.value}; only a finished trial can be exported")
    result = next(r for r in place.ledger.history(job.id, trial.target) if r.trial.number == number)
    target = _target(job, result)
    _make_folder(out, force)
    verification, scratch = _written(place, job, result, measurement, verify)
    with _writing_into(out):
        for name in _OWN:
            # another trial's verification beside this one's numbers would vouch for them
            (out / name).unlink(missing_ok=True)
        for file in sorted((scratch / "export").iterdir()):
            shutil.move(file, out / file.name)
        shutil.rmtree(scratch, ignore_errors=True)
        _describe(out, job, result, measurement, verification)
    if verify:
        verification = _through_loader(out, verification, LOADERS[target.runtime].plain, target.python)
        _write_json(out / "verification.json", to_data(verification) | {"schema": "qsearch.verification/1"})
    names = tuple(sorted(f.name for f in out.iterdir()))
    return ExportReceipt(trial=f"{job.id}/{number}", folder=str(out), files=names, verification=verification)


def _make_folder(out: Path, force: bool) -> None:
    """Before the long part: a folder that cannot be written must not cost a measurement."""
    with _writing_into(out):
        if out.exists() and (not out.is_dir() or any(out.iterdir())) and not force:
            raise UsageError(
                f"{out} is not an empty folder", "Choose another folder, or give --force to write into it."
            )
        out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out).close()


def _written(
    place: Workplace, job: Job, result: Result, measurement: Measurement, verify: bool
) -> tuple[Verification, Path]:
    target = _target(job, result)
    prepared = place.ledger.prepared(job.id, target.name)
    if prepared is None:
        raise NotFound(f"job {job.id} was never prepared for target {target.name}")
    workshop = place.workshop()
    then = Where(machine_key=prepared[1].machine.key, runtime=prepared[1].circumstances.runtime)
    ready = Preparer(workshop, place.artifacts).make_ready(job, target, prepared[1].inspection, then)
    _same_tensors(ready.prepared, prepared[1], job)
    order = VerifyOrder(
        prepared=str(ready.folder),
        splits=str(ready.splits),
        materialized=ready.materialized,
        folder=job.spec.folder,
        candidate=result.trial.candidate,
        target=target,
        reference=ready.prepared.reference,
        expected=measurement,
        measure=verify,
        seed=int(digest_of([job.id, result.trial.number, "verify"])[:8], 16),
        fp32_s=ready.prepared.seconds.get("reference", 0.0),
        limits=job.spec.limits,
        luck=known_luck(place.ledger, ready.prepared.machine.key),
    )
    found, scratch = workshop.do(WorkKind.VERIFY, f"{job.id}/verify:{result.trial.number}", order, target, 1800.0)
    return expect(found, Verification), scratch


def _same_tensors(now: Prepared, then: Prepared, job: Job) -> None:
    if now.digest != then.digest:
        raise NotFound(
            f"the prepared model of job {job.id} is no longer stored and could not be made again bit by bit",
            "Its tensors would differ from what was measured; run the job again.",
        )


def _describe(out: Path, job: Job, result: Result, measurement: Measurement, verification: Verification) -> None:
    target = _target(job, result)
    reference = f"{job.id}/{result.trial.number}"
    _write_json(
        out / "candidate.json",
        {"schema": "qsearch.candidate/1", "trial": reference, "choices": to_data(result.trial.candidate.choices)},
    )
    _write_json(out / "session.json", _session(target, verification))
    manifest = {
        "schema": "qsearch.manifest/1",
        "qsearch": __version__,
        "trial": reference,
        "model": {"file": "model.onnx", "sha256": verification.sha256, "size_bytes": verification.size_bytes},
        "speedup": to_data(result.judged_latency.ratio.inverse()),
        "verdict": result.judged_latency.verdict.value,
        "drop_search": _drop(result.accuracy),
        "drop": None if result.heldout is None else _drop(result.heldout),
        "peak_memory_bytes": result.peak_memory_bytes,
        "circumstances": to_data(measurement.circumstances),
        "target": to_data(target),
        "reproduce": f"qsearch export {reference} -o {out.name} --verify",
    }
    _write_json(out / "manifest.json", manifest)
    (out / "load.py").write_text(LOADERS[target.runtime].text, encoding="utf-8")
    (out / "README.md").write_text(readme(job, result, verification, target), encoding="utf-8")


def _target(job: Job, result: Result) -> Target:
    return next(t for t in job.spec.targets if t.name == result.trial.target)


def _session(target: Target, verification: Verification) -> Mapping[str, object]:
    """What load.py reads; threads are among OpenVINO's properties, and beside ONNX Runtime's config entries."""
    config = dict(verification.session)
    if target.runtime == "openvino":
        return {
            "schema": "qsearch.openvino-session/1",
            "runtime": target.runtime,
            "device": target.provider.upper(),
            "config": config,
        }
    return {
        "schema": "qsearch.session/1",
        "provider": f"{short(target.provider)}ExecutionProvider",
        "provider_options": dict(target.provider_options),
        "intra_op_num_threads": target.threads,
        "inter_op_num_threads": 1,
        "config": config,
    }


def _drop(accuracy: Accuracy) -> dict[str, object]:
    return {"metric": accuracy.metric, "n": accuracy.n, **to_data(accuracy.drop)}


def _through_loader(out: Path, verification: Verification, plain: str, python: str = "") -> Verification:
    """Run load.py as a user would, with the target's session options and with the defaults, `plain` in words.

    By the target's interpreter, where the runtime is that the file is for; empty = this one.
    """
    words = list(verification.disagreements)
    for flag in ([], ["--plain"]):
        how = plain if flag else "session.json"
        try:
            done = subprocess.run(
                [python or sys.executable, str(out / "load.py"), "--json", *flag],
                capture_output=True,
                text=True,
                timeout=LOADER_S,
                check=False,
                cwd=out,
            )
        except OSError as error:
            words.append(f"load.py could not be run by {python}: {error.strerror}")
            continue
        except subprocess.TimeoutExpired:
            words.append(f"load.py did not end within {LOADER_S:g} s under {how}")
            continue
        if done.returncode not in (0, 1) or not done.stdout.strip():
            words.append(f"load.py failed under {how}: {done.stderr.strip()[-300:]}")
            continue
        said = json.loads(done.stdout)
        if not said["agrees"]:
            words.append(f"outputs under {how} differ by up to {said['max_abs_difference']:.3g}")
    return replace(verification, disagreements=tuple(words))


@contextmanager
def _writing_into(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"cannot write into {out}: {error.strerror or error}", "Name another with -o DIR.") from error


def _write_json(file: Path, document: Mapping[str, object]) -> None:
    file.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
