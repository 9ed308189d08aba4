"""Outputs to outcomes: built-in metrics here, the user's function in a child that is reused."""

from __future__ import annotations

import atexit
import zipfile
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
    """The child that runs the user's code; started when first needed, again after a request that failed.

    NOTE: what failed may have left threads, half-changed modules and another folder behind, and the next
    candidate must be scored by what scored the last one.
    """

    def __init__(self) -> None:
        self._child: TalkingChild | None = None
        atexit.register(self.close)

    def ask(self, request: dict[str, object], deadline_s: float) -> dict[str, object]:
        """One request, one answer.

        Raises:
            WorkFailed: USER_ERROR, the user's code raised, and the message says what and where; or
                TIMEOUT, NATIVE_CRASH, OUT_OF_MEMORY of its child.
        """
        if self._child is None or not self._child.alive:
            self._child = TalkingChild("workers.user_code", cwd=str(request.get("folder") or "."))
        what = f"the task's code {request.get('score') or request.get('task') or request.get('factory') or ''}".strip()
        answer = self._child.ask(request, deadline_s, what)
        if "error" in answer:
            self._child.close()
            cause = Cause.OUT_OF_MEMORY if answer.get("memory") else Cause.USER_ERROR
            raise WorkFailed(cause, f"{what} failed: {answer['error']}", str(answer.get("tail", "")))
        return answer

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.close()


#: longest that a scoring function may take whose time on fp32 nobody knows, seconds
LONGEST_S = 3600.0
#: one per worker process
user_code = UserCode()


def is_builtin(score: str) -> bool:
    """Whether the scoring is ours (a name) and not the user's (module:function)."""
    return ":" not in score


def score_split(
    materialized: Materialized,
    folder: str,
    samples: Path,
    outputs: Path,
    reference_outputs: Path | None,
    scratch: Path,
    *,
    patience_s: float = LONGEST_S,
) -> Scores:
    """Per-sample outcomes of one arm on one split.

    Args:
        samples: the split's file, for its labels.
        outputs: what `predict` wrote.
        reference_outputs: fp32's outputs on the same split, for metrics of fidelity.
        scratch: where the child may write.
        patience_s: how long the user's function may take; the end of the work under way comes first.

    Raises:
        WorkFailed: what became of the user's function; see `UserCode.ask`.
    """
    if is_builtin(materialized.score):
        reference = None if reference_outputs is None else read_outputs(reference_outputs)
        return metric(materialized.score).function(read_outputs(outputs), read_samples(samples).labels, reference)
    out = scratch / f"{outputs.stem}-scores.npz"
    request: dict[str, object] = {"do": "score", "score": materialized.score, "folder": folder}
    request |= {"samples": str(samples), "outputs": str(outputs), "out": str(out)}
    answer = user_code.ask(request, patience_s)
    try:
        with np.load(out, allow_pickle=False) as found:
            weights = found["weights"]
            return Scores(
                outcomes=found["outcomes"],
                weights=weights if len(weights) else None,
                aggregate=str(answer.get("aggregate", "mean")),
            )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        # written in the user's process, where numpy may be what the user's code has made of it
        raise TaskError(f"{materialized.score} left no outcomes that can be read: {error}") from error
    finally:
        out.unlink(missing_ok=True)


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
