"""The texts in an exported folder: how to load the model, and what it is."""

from __future__ import annotations

from qsearch.contracts.job import Job
from qsearch.contracts.target import Target
from qsearch.contracts.trial import Result
from qsearch.contracts.work import Verification

#: load.py of an exported folder; needs onnxruntime and numpy only
LOADER = '''"""Load model.onnx as it was measured. Needs onnxruntime and numpy only.

    from load import load
    session = load()

Run as a program it compares the model's outputs on this machine with those seen when it was measured
(check.npz): exit 0 when they agree, 1 when they do not. `--plain` ignores session.json, which is how a
file is loaded by people who never read this.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

HERE = Path(__file__).resolve().parent


def load(plain=False):
    """An InferenceSession with the session options that were measured, or with the defaults."""
    if plain:
        return onnxruntime.InferenceSession(str(HERE / "model.onnx"), providers=["CPUExecutionProvider"])
    settings = json.loads((HERE / "session.json").read_text(encoding="utf-8"))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = settings["intra_op_num_threads"]
    options.inter_op_num_threads = settings["inter_op_num_threads"]
    for name, value in settings["config"].items():
        options.add_session_config_entry(name, value)
    return onnxruntime.InferenceSession(str(HERE / "model.onnx"), options, providers=[settings["provider"]])


def check(session):
    """Largest difference to the outputs in check.npz, and the smallest cosine."""
    worst, cosine, same = 0.0, 1.0, True
    with np.load(HERE / "check.npz", allow_pickle=False) as stored:
        count = int(stored["count"])
        for i in range(count):
            prefix = f"in:{i}:"
            feeds = {k[len(prefix):]: stored[k] for k in stored.files if k.startswith(prefix)}
            outputs = dict(zip([o.name for o in session.get_outputs()], session.run(None, feeds)))
            for name, found in outputs.items():
                expected = stored[f"out:{i}:{name}"]
                same = same and found.shape == expected.shape and bool(np.array_equal(found, expected, equal_nan=True))
                a, b = found.astype(np.float64).ravel(), expected.astype(np.float64).ravel()
                worst = max(worst, float(np.abs(a - b).max(initial=0.0)))
                norm = float(np.linalg.norm(a) * np.linalg.norm(b))
                cosine = min(cosine, float(a @ b) / norm if norm else float(worst == 0.0))
    return {"identical": same, "agrees": same or cosine > 0.9999, "max_abs_difference": worst, "cosine": cosine}


if __name__ == "__main__":
    found = check(load(plain="--plain" in sys.argv))
    if "--json" in sys.argv:
        print(json.dumps(found))
    else:
        differs = f"largest difference {found['max_abs_difference']:.3g}, cosine {found['cosine']:.6f}"
        print("outputs are identical" if found["identical"] else differs)
    sys.exit(0 if found["agrees"] else 1)
'''


def readme(job: Job, result: Result, verification: Verification, target: Target) -> str:
    """README.md of an exported folder: what it is, its numbers with intervals, how to load it."""
    latency = result.judged_latency
    speed = latency.ratio.inverse()
    lines = [
        f"# {job.name}, trial {job.id}/{result.trial.number}",
        "",
        f"`model.onnx`: {verification.size_bytes} bytes, SHA-256 `{verification.sha256}`.",
        "",
        f"- Speed-up over fp32: {speed.value:.2f}× [{speed.low:.2f}, {speed.high:.2f}], {latency.verdict.value}, "
        f"{latency.sessions} sessions on {target.name} "
        f"({target.runtime}, {target.threads} thread(s), batch {target.batch}).",
    ]
    for accuracy in (result.accuracy, result.heldout):
        if accuracy is not None:
            d = accuracy.drop
            lines.append(
                f"- {accuracy.metric} on the {accuracy.split} split: {accuracy.score:.4f}, fp32 "
                f"{accuracy.reference_score:.4f}; drop {d.value:.2%} [{d.low:.2%}, {d.high:.2%}], n = {accuracy.n}."
            )
    counts = ", ".join(f"{n} × {choice.value}" for choice, n in result.trial.candidate.counts().items())
    lines += [
        f"- Layers: {counts}.",
        "",
        "Load it with `load.py` (`from load import load`), which sets the session options it was measured with;",
        "`python load.py` compares its outputs on your machine with those seen when it was measured.",
        "`manifest.json` holds hashes, intervals and the circumstances of the measurement.",
        "",
    ]
    return "\n".join(lines)
