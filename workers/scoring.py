"""Outputs to outcomes: built-in metrics here, the user's function in a child that is reused."""

from __future__ import annotations

import atexit
from pathlib import Path

import numpy as np

from qsearch.contracts.causes import Cause
from qsearch.contracts.errors import TaskError, WorkFailed
from qsearch.contracts.measurement import Accuracy
from qsearch.contracts.task import Scores
from qsearch.contracts.work import Materialized
from qsearch.measure.accuracy import judge
from qsearch.measure.metrics import metric
from qsearch.measure.samples import read_samples
from workers.sitting import read_outputs
from workers.talk import TalkingChild


class UserCode:
    """The child that runs the user's code; started when first needed, again after it died."""

    def __init__(self) -> None:
        self._child: TalkingChild | None = None
        atexit.register(self.close)

    def ask(self, request: dict[str, object], deadline_s: float) -> dict[str, object]:
        """One request, one answer.

        Raises:
            TaskError: the user's code raised; the message says what and where.
            WorkFailed: TIMEOUT or NATIVE_CRASH of the child.
        """
        if self._child is None or not self._child.alive:
            self._child = TalkingChild("workers.user_code", cwd=str(request.get("folder") or "."))
        answer = self._child.ask(request, deadline_s)
        if "error" in answer:
            raise WorkFailed(
                Cause.USER_ERROR, f"the task's code failed: {answer['error']}", str(answer.get("tail", ""))
            )
        return answer

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.close()


#: one per worker process
user_code = UserCode()


def is_builtin(score: str) -> bool:
    """Whether the scoring is ours (a name) and not the user's (module:function)."""
    return ":" not in score


def score_split(
    materialized: Materialized, folder: str, samples: Path, outputs: Path, reference_outputs: Path | None, scratch: Path
) -> Scores:
    """Per-sample outcomes of one arm on one split.

    Args:
        samples: the split's file, for its labels.
        outputs: what `predict` wrote.
        reference_outputs: fp32's outputs on the same split, for metrics of fidelity.
        scratch: where the child may write.
    """
    if is_builtin(materialized.score):
        reference = None if reference_outputs is None else read_outputs(reference_outputs)
        return metric(materialized.score).function(read_outputs(outputs), read_samples(samples).labels, reference)
    out = scratch / f"{outputs.stem}-scores.npz"
    request: dict[str, object] = {"do": "score", "score": materialized.score, "folder": folder}
    request |= {"samples": str(samples), "outputs": str(outputs), "out": str(out)}
    user_code.ask(request, deadline_s=300)
    with np.load(out, allow_pickle=False) as found:
        weights = found["weights"]
        return Scores(outcomes=found["outcomes"], weights=weights if len(weights) else None)


def accuracy(scores: Scores, materialized: Materialized, split: str, reference: Accuracy | None) -> Accuracy:
    """The outcomes against fp32's on the same samples.

    Raises:
        TaskError: fp32 and the candidate were not scored on the same number of samples.
    """
    if reference is not None and len(scores.outcomes) != reference.n:
        raise TaskError(f"the score gave {len(scores.outcomes)} outcomes, and {reference.n} for fp32; n must not vary")
    return judge(
        scores,
        metric=materialized.metric,
        higher_is_better=materialized.higher_is_better,
        split=split,
        reference=reference,
    )
