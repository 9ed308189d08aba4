"""What `export` wrote, and whether the file is the trial."""

from __future__ import annotations

from qsearch.contracts.views import ExportReceipt
from qsearch.report.answer import Answer, Row, facts
from qsearch.report.numbers import drop_of, size
from qsearch.report.trial import latency_document, latency_text


def receipt_answer(receipt: ExportReceipt) -> Answer:
    """The answer of `export`; its rows are the files."""
    seen = receipt.verification
    measured = seen.measured
    rows: tuple[Row, ...] = tuple(
        {"trial": receipt.trial, "folder": receipt.folder, "file": name} for name in receipt.files
    )
    document = {
        "trial": receipt.trial,
        "folder": receipt.folder,
        "files": list(receipt.files),
        "sha256": seen.sha256,
        "size_bytes": seen.size_bytes,
        "verified": verdict(receipt),
        "latency": latency_document(measured.latency) if measured else None,
        "disagreements": list(seen.disagreements),
    }
    said = {True: "yes: the file does what the trial did", False: "no", None: "not asked"}[verdict(receipt)]
    pairs = [
        ("folder", receipt.folder),
        ("files", ", ".join(receipt.files)),
        ("sha256", seen.sha256),
        ("size", size(seen.size_bytes)),
        ("verified", said),
        ("speed-up again", latency_text(measured.latency) if measured else ""),
        ("drop again", drop_of(measured.accuracy) if measured else ""),
    ]
    table = facts(f"exported {receipt.trial}", pairs, notes=seen.disagreements)
    return Answer(noun="export", row_noun="exported-file", document=document, rows=rows, tables=(table,))


def verdict(receipt: ExportReceipt) -> bool | None:
    """True: measured and it agrees; False: it disagrees; None: nobody asked."""
    if receipt.verification.disagreements:
        return False
    return True if receipt.verification.measured else None
