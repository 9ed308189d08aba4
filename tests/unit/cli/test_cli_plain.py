"""What a stream that knows ASCII only is given."""

from __future__ import annotations

import io

from qsearch.cli.plain import PLAIN, register


def test_signs_get_plain_forms_and_the_rest_is_escaped() -> None:
    register()
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding="ascii", errors=PLAIN, newline="\n") as out:
        out.write("drop ≤ 1%: 0.93× fp32 (0.83–0.95), −0.2 %, 6.19 µs → ★ ┄┼ 日")
        out.flush()
        assert raw.getvalue() == b"drop <= 1%: 0.93x fp32 (0.83-0.95), -0.2 %, 6.19 us > * -+ \\u65e5"


def test_a_stream_that_knows_more_keeps_what_it_knows() -> None:
    register()
    assert "1.5× ≤".encode("latin-1", PLAIN) == "1.5× <=".encode("latin-1")
