"""`measurement` of a spec: over the defaults, by name, and refused where it cannot mean anything."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from qsearch.contracts.errors import SpecError
from qsearch.contracts.job import JobSpec
from qsearch.contracts.limits import COUNTED, FLAGGED, Limits, Thresholds
from qsearch.report.thresholds import limits_text
from qsearch.spec.document import ThresholdsDocument
from qsearch.spec.loading import load_spec


@pytest.fixture
def load(tmp_path: Path) -> object:
    (tmp_path / "m.onnx").write_bytes(b"")

    def read(measurement: str) -> JobSpec:
        path = tmp_path / "s.yaml"
        path.write_text(f"model: {{path: m.onnx}}\ntask: a:b\n{measurement}\n")
        return load_spec(path)[0]

    return read


def test_what_is_absent_keeps_its_default(load) -> None:  # type: ignore[no-untyped-def]
    assert load("").limits == Limits()
    found = load("measurement: {reject: {steal: 5%, canary: never, major_faults: 3}, flag: {foreign: 0.5%}}").limits
    assert found.reject == replace(Thresholds(), steal=0.05, canary=None, major_faults=3.0)
    assert found.flag == replace(FLAGGED, foreign=0.005)
    assert limits_text(found) == "rejects above steal 5%, major_faults 3, canary never; flags above foreign 0.5%"
    assert limits_text(Limits()) == ""


@pytest.mark.parametrize(
    ("measurement", "said"),
    [
        ("measurement: {reject: {steel: 5%}}", "steal"),
        ("measurement: {reject: {steal: 0.05}}", "expected a share such as 3%, or never"),
        ("measurement: {reject: {steal: often}}", "expected a share such as 3%, or never"),
        ("measurement: {flag: {major_faults: -1}}", "expected a whole number from 0 to 2147483647, or never"),
        ("measurement: {flag: {major_faults: 1%}}", "expected a whole number from 0 to 2147483647, or never"),
        ("measurement: {flag: {steal: 4%}}", "flags only above what is rejected already"),
        ("measurement: {reject: {foreign: 2%}, flag: {foreign: 3%}}", "measurement.flag.foreign"),
    ],
)
def test_what_means_nothing_is_refused_with_its_place(load, measurement: str, said: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SpecError) as refused:
        load(measurement)
    assert said in str(refused.value)


def test_every_threshold_can_be_written_and_says_its_defaults() -> None:
    assert set(ThresholdsDocument.model_fields) == set(Thresholds.__dataclass_fields__)
    for name, field in ThresholdsDocument.model_fields.items():
        words = [
            "never" if value is None else f"{value:g}" if name in COUNTED else f"{100 * value:g}%"
            for value in (getattr(Thresholds(), name), getattr(FLAGGED, name))
        ]
        assert (field.description or "").endswith(f": {' / '.join(words)}."), name
