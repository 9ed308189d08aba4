"""`measurement` of a spec to the limits that telemetry is judged by."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from qsearch.contracts.limits import FLAGGED, Limits, Thresholds

if TYPE_CHECKING:
    from qsearch.spec.document import MeasurementDocument, ThresholdsDocument


def to_limits(document: MeasurementDocument) -> Limits:
    """What is given, over the defaults."""
    return Limits(reject=_over(Thresholds(), document.reject), flag=_over(FLAGGED, document.flag))


def _over(usual: Thresholds, given: ThresholdsDocument) -> Thresholds:
    named = {name: getattr(given, name) for name in given.model_fields_set}
    # `never` is infinity in a document, where None is what was not said
    return replace(usual, **{n: None if math.isinf(v) else v for n, v in named.items() if v is not None})
