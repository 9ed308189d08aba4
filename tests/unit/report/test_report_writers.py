"""Answers as text, and text of unknown origin made safe."""

from __future__ import annotations

import csv
import io
import json
import math

import pytest
import report_records_desk as desk_records

from qsearch.contracts.errors import Unsupported
from qsearch.report.answer import Answer, Line, Table, listing
from qsearch.report.escaping import csv_cell, json_text, markdown_cell, visible
from qsearch.report.queries import query_answer
from qsearch.report.writers import FORMS, write

EVIL = '=cmd|"/c calc"!A1 \x1b[2J\x9b31m \u202egnp.exe\nsecond | line'


def evil() -> Answer:
    return listing("things", "thing", [{"name": EVIL, "n": -1, "x": math.nan, "yes": True, "none": None}])


def test_json_is_one_document_with_its_schema_and_the_value_survives() -> None:
    text = write(evil(), "json")
    document = json.loads(text)
    assert document["schema"] == "qsearch.things/1"
    assert document["things"] == [{"name": EVIL, "n": -1, "x": None, "yes": True, "none": None}]
    assert not {"\x1b", "\x9b", "\u202e"} & set(text)


def test_json_lines_are_documents_too() -> None:
    lines = write(query_answer(desk_records.rows_of_query()), "jsonl").splitlines()
    assert [json.loads(line)["schema"] for line in lines] == ["qsearch.query-row/1"] * 2
    assert json.loads(lines[0])["n_2"] == "=1+1"


def test_csv_reads_back_and_holds_no_formula() -> None:
    read = list(csv.DictReader(io.StringIO(write(evil(), "csv"))))
    assert read[0]["name"].startswith("'=cmd")
    assert read[0]["n"] == "-1"
    assert (read[0]["x"], read[0]["yes"], read[0]["none"]) == ("", "true", "")


@pytest.mark.parametrize("start", list("=+-@\t\r"))
def test_every_start_of_a_formula_is_guarded(start: str) -> None:
    assert csv_cell(f"{start}1").startswith("'")


def test_a_markdown_cell_stays_one_cell() -> None:
    cell = markdown_cell("a|b\nc<script>\\")
    assert cell == "a\\|b c&lt;script&gt;\\\\"


def test_markdown_table_has_as_many_cells_as_columns() -> None:
    table = Table(columns=("a", "b"), lines=(Line(cells=("x|y", "1")),), right=frozenset({"b"}), notes=("a note",))
    text = write(Answer(noun="n", row_noun="n", document={}, rows=(), tables=(table,)), "md")
    assert text.splitlines() == ["| a | b |", "|---|---:|", "| x\\|y | 1 |", "", "a note"]


def test_control_characters_become_visible() -> None:
    assert visible("a\x1b[31m\nb\u202e\ud800") == "a\\x1b[31m\\x0ab\\u202e\\ud800"


def test_json_text_keeps_the_value() -> None:
    text = json.dumps({"k": "\x7f\u2028×"}, ensure_ascii=False)
    assert json.loads(json_text(text)) == {"k": "\x7f\u2028×"}
    assert "×" in json_text(text)


def test_an_unknown_form_is_refused_by_name() -> None:
    with pytest.raises(Unsupported, match="yaml"):
        write(evil(), "yaml")
    assert set(FORMS) == {"json", "jsonl", "csv", "md"}


def test_no_rows_are_no_error() -> None:
    nothing = listing("things", "thing", [])
    assert write(nothing, "csv") == "\n"
    assert write(nothing, "jsonl") == ""
    assert json.loads(write(nothing, "json"))["things"] == []
