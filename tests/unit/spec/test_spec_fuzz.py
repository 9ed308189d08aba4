"""Whatever a file holds, the answer is a spec or a SpecError; never another exception."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from qsearch.contracts.errors import SpecError
from qsearch.spec.document import SpecDocument
from qsearch.spec.loading import load_spec
from qsearch.spec.tree import parse_tree

RELAXED = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
KEYS = [*SpecDocument.model_fields, "path", "package", "file", "drop", "trials", "threads", "choices", "pin", "x"]
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 10),
    st.floats(allow_nan=True),
    st.sampled_from(
        ["", "no", "fp32", "fp16", "latency", "drop", "1%", "10m", "data", "a:b", "m.onnx", "this-machine"]
    ),
    st.text(max_size=6),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


def answered(path: Path) -> None:
    try:
        load_spec(path)
    except SpecError as error:
        wrong = error
    else:
        return
    assert wrong.problems
    assert len(wrong.message.splitlines()) == len(wrong.problems)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "m.onnx").write_bytes(b"")
    return tmp_path / "s.yaml"


@RELAXED
@given(st.binary(max_size=200))
def test_any_bytes(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    answered(path)


@RELAXED
@example("0\n\n0")
@given(st.text(alphabet=":-[]{}&*!|>'\"%@`#,?~<= \t\nabno01\\", max_size=60))
def test_any_text_of_yaml_characters(path: Path, text: str) -> None:
    path.write_text(text)
    answered(path)


@RELAXED
@given(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=8))
def test_any_mapping(path: Path, data: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(data, allow_unicode=True))
    answered(path)


@RELAXED
@example(5e-324)
@example([1e22, -3e-7])
@given(VALUES.filter(lambda value: "nan" not in str(value) and "inf" not in str(value)))
def test_json_is_read_as_json_reads_it(value: Any) -> None:
    """JSON has one reading; the places and traps of our reader must not change it."""
    text = json.dumps({"x": value})
    tree = parse_tree(text, "s.json")
    if not tree.problems:
        assert tree.data == {"x": value}
