"""Records made by hand: what a desk answers besides jobs, trials and fronts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import report_records as records

from qsearch.contracts.job import JobState
from qsearch.contracts.views import (
    Check,
    ExportReceipt,
    HeadView,
    QueryResult,
    Submission,
)
from qsearch.contracts.work import Verification


def receipt(*disagreements: str) -> ExportReceipt:
    seen = Verification(
        sha256="ab" * 32, size_bytes=20 * 2**20, measured=records.measurement(), disagreements=disagreements
    )
    return ExportReceipt(trial="j1/4", folder="/out", files=("model.onnx", "manifest.json"), verification=seen)


def rows_of_query() -> QueryResult:
    return QueryResult(columns=("n", "n", "blob"), rows=((1, "=1+1", b"xy"), (2, None, b"")), truncated=True)


def checks() -> tuple[Check, ...]:
    return (
        Check(name="database", status="ok", finding="sqlite"),
        Check(name="governor", status="warning", finding="powersave", advice="cpupower frequency-set -g performance"),
    )


def head(*drivers: str) -> HeadView:
    return HeadView(
        pid=4711,
        address="127.0.0.1:6379",
        dashboard="http://127.0.0.1:8265",
        started=records.WHEN,
        idle_s=300.0,
        drivers=drivers,
    )


def submission(**changes: Any) -> Submission:
    made = Submission(
        job=records.job(state=JobState.QUEUED, ended=None),
        submission="j1-1",
        address="http://127.0.0.1:8265",
        driven=True,
        head=head("j1-1"),
        fresh=True,
    )
    return replace(made, **changes)
