"""The words a spec may use: what this version can do, what the design knows, and what was meant.

NOTE: a word is refused in one of two ways. A word that the design knows and this version cannot
honour is told apart from a typing mistake, because "did you mean" would send its user to a
different thing than the one that was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from qsearch.contracts.choices import AVAILABLE, Choice
from qsearch.contracts.scenario import MEASURED, Scenario


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The words of one key."""

    #: what one word is, for messages: "choice", "runtime"
    noun: str
    #: what this version can honour, in the order messages list it
    available: tuple[str, ...]
    #: what the design knows beside it
    planned: tuple[str, ...] = ()
    #: words with a number in them that it can honour too
    pattern: str = ""
    #: what must be done instead, by word
    instead: Mapping[str, str] = field(default_factory=dict)

    def objection(self, word: str) -> str:
        """Why `word` cannot be used, in one clause; empty when it can."""
        if word in self.available or (self.pattern and re.fullmatch(self.pattern, word, re.ASCII)):
            return ""
        if word in self.instead:
            return f"{word} is not built in; {self.instead[word]}"
        known = ", ".join(self.available)
        if word in self.planned:
            return f"{word} is not available in this version; available: {known}"
        meant = did_you_mean(word, (*self.available, *self.planned)) or f"available: {known}"
        return f'unknown {self.noun} "{word}"; {meant}'


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean "..."?` for the nearest known word; empty when none is near."""
    spelled = {name.lower(): name for name in known}
    close = get_close_matches(word.lower(), spelled, n=1, cutoff=0.6)
    return f'did you mean "{spelled[close[0]]}"?' if close else ""


def meant_or_known(word: str, known: Iterable[str]) -> str:
    """`did you mean "..."?`, or all known words when none is near."""
    names = tuple(known)
    return did_you_mean(word, names) or f"known: {', '.join(names)}"


CHOICES = Vocabulary("choice", tuple(AVAILABLE), tuple(c for c in Choice if c not in AVAILABLE))
OBJECTIVES = Vocabulary("objective", ("latency", "drop", "size", "memory"), ("energy", "throughput"))
SAMPLERS = Vocabulary("sampler", ("tpe", "nsga2", "random"), ("frontier", "nsga3", "gp", "grid"))
PRECISIONS = Vocabulary("precision", ("quick", "screen"), ("final", "nightly"))
RUNTIMES = Vocabulary("runtime", ("onnxruntime", "openvino"), ("tensorrt", "qnn", "torch"))
#: ONNX Runtime's own names, without their ending; which of them a build has, its machine says
PROVIDERS = Vocabulary(
    "provider",
    (
        "CPU",
        "CUDA",
        "Tensorrt",
        "NvTensorRTRTX",
        "MIGraphX",
        "OpenVINO",
        "Dnnl",
        "Xnnpack",
        "QNN",
        "CoreML",
        "Dml",
        "VitisAI",
        "Nnapi",
        "WebGpu",
        "CANN",
        "Azure",
    ),
)
SCENARIOS = Vocabulary("scenario", tuple(MEASURED), tuple(s for s in Scenario if s not in MEASURED))
SPLITS = Vocabulary("way to split", ("auto",))
#: the metrics of `qsearch.measure.metrics`, repeated here so that reading a spec needs no numpy; a test compares
METRICS = Vocabulary(
    "metric",
    (
        "top1",
        "top5",
        "f1-macro",
        "f1-binary",
        "exact",
        "cer",
        "edit-distance",
        "perplexity",
        "mrr",
        "retrieval@1",
        "retrieval@5",
        "retrieval@10",
        "agreement-to-fp32",
        "cosine-to-fp32",
        "sqnr-to-fp32",
        "mse-to-fp32",
    ),
    pattern=r"(top|retrieval@)[1-9][0-9]{0,4}",
    instead={
        "map": "how boxes are matched is not the same in any two tasks: score it with a function of your own, "
        "task: module:function",
        "f1": "say which one: f1-macro, or f1-binary for the F1 of class 1",
    },
)
COLORS = Vocabulary("color", ("auto", "always", "never"))
