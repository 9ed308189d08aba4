"""The built-in metrics by name: pure functions from outputs to per-sample outcomes, for numpy alone."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from qsearch.contracts.errors import InputError
from qsearch.contracts.task import Array, Scores
from qsearch.measure.classification import f1, top_k
from qsearch.measure.fidelity import agreement, cosine, signal_to_noise, squared_error
from qsearch.measure.outputs import Outputs
from qsearch.measure.perplexity import perplexity
from qsearch.measure.retrieval import reciprocal_rank, retrieval_at
from qsearch.measure.sequences import character_errors, edits, exact

#: (outputs, labels, fp32's outputs or None) → outcomes
Function = Callable[[Outputs, Mapping[str, Array], Outputs | None], Scores]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A way to score outputs.

    NOTE: where a metric looks at one output, it is the model's first.
    """

    name: str
    higher_is_better: bool
    needs_labels: bool
    #: the outputs of fp32 on the same samples are asked for
    needs_reference: bool
    #: one outcome for each sample, which depends on that sample alone, and a score that some samples estimate.
    #: Retrieval ranks all samples at once, and F1 over a part sees other classes: both are False
    per_sample: bool
    #: what is not needed is not looked at
    function: Function


def metric(name: str) -> Metric:
    """The metric of this name; `top` and `retrieval@` take any number from 1 to 99999.

    Raises:
        InputError: there is none, with the nearest name.
    """
    if name in METRICS:
        return METRICS[name]
    numbered = re.fullmatch(r"(top|retrieval@)([1-9][0-9]{0,4})", name)
    if numbered:
        k = int(numbered[2])
        return _top(k) if numbered[1] == "top" else _retrieval(k)
    if name in ("map", "mAP"):
        raise InputError(
            "metric map is not built in: how boxes are matched and at which overlaps is not the same in any two tasks",
            "Score it with a function of your own: `task: module:function`, Task(score=...).",
        )
    near = difflib.get_close_matches(name, METRICS, 1)
    raise InputError(
        f"metric {name} is not built in; there are {', '.join(METRICS)}",
        f"Did you mean {near[0]}?" if near else "Your own one is named module:function.",
    )


def _labelled(name: str, function: Function, *, higher: bool = True, per_sample: bool = True) -> Metric:
    return Metric(
        name=name,
        higher_is_better=higher,
        needs_labels=True,
        needs_reference=False,
        per_sample=per_sample,
        function=function,
    )


def _top(k: int) -> Metric:
    return _labelled(f"top{k}", top_k(k))


def _retrieval(k: int) -> Metric:
    return _labelled(f"retrieval@{k}", retrieval_at(k), per_sample=False)


def _fidelity(name: str, function: Function, *, higher: bool = True) -> Metric:
    return Metric(
        name=name,
        higher_is_better=higher,
        needs_labels=False,
        needs_reference=True,
        per_sample=True,
        function=function,
    )


#: By name, in the order that messages list them.
METRICS: Mapping[str, Metric] = {
    found.name: found
    for found in (
        _top(1),
        _top(5),
        _labelled("f1-macro", f1("f1-macro"), per_sample=False),
        _labelled("f1-binary", f1("f1-binary"), per_sample=False),
        _labelled("exact", exact),
        _labelled("cer", character_errors, higher=False),
        _labelled("edit-distance", edits, higher=False),
        _labelled("perplexity", perplexity, higher=False),
        _labelled("mrr", reciprocal_rank, per_sample=False),
        _retrieval(1),
        _retrieval(5),
        _retrieval(10),
        _fidelity("agreement-to-fp32", agreement),
        _fidelity("cosine-to-fp32", cosine),
        _fidelity("sqnr-to-fp32", signal_to_noise),
        _fidelity("mse-to-fp32", squared_error, higher=False),
    )
}
