"""Pairs of names and docstrings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from qsearch.zoo.docstrings import LEAST_WORDS, pairs, words


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("collections.OrderedDict.move_to_end", "collections ordered dict move to end"),
        ("http.HTTPServer.do_GET", "http http server do get"),
        ("__init__", "init"),
        ("x509", "x509"),
    ],
)
def test_words_of_a_name(name: str, expected: str) -> None:
    assert words(name) == expected


def test_pairs_of_a_small_library(tmp_path: Path) -> None:
    (tmp_path / "json").mkdir()
    (tmp_path / "json" / "__init__.py").write_text(
        'def dump_it(obj, *, sort_keys=False):\n    """Write an object as text to\n    a file.\n\n    More."""\n'
        'class Encoder(Base):\n    """Turns the objects of Python into text."""\n'
        '    async def run(self, x):\n        """Write an object as text to a file."""\n'
        '    def short(self):\n        """See base class."""\n'
    )
    (tmp_path / "json" / "broken.py").write_text("print 'two'")
    (tmp_path / "json" / "test").mkdir()
    (tmp_path / "json" / "test" / "t.py").write_text('def f():\n    """This one must not be found at all."""\n')
    (tmp_path / "not_stdlib.py").write_text('def f():\n    """This one must not be found at all."""\n')
    found = {pair.name: pair for pair in pairs(1, tmp_path)}
    # equal docstrings: the first by name stays ("json.Encoder.run" < "json.dump_it")
    assert set(found) == {"json.Encoder", "json.Encoder.run"}
    assert found["json.Encoder"].query == "class json encoder (base)"
    assert found["json.Encoder.run"].query == "json encoder run (x)"
    assert found["json.Encoder.run"].document == "Write an object as text to a file."


def test_pairs_of_this_library_are_many_and_distinct() -> None:
    found = pairs(1)
    assert len(found) > 3000
    assert len({pair.query for pair in found}) == len({pair.document.casefold() for pair in found}) == len(found)
    assert min(len(pair.document.split()) for pair in found) >= LEAST_WORDS
    assert not [pair for pair in found if pair.name.startswith("test.")]


def test_order_is_the_seeds_alone() -> None:
    script = "from qsearch.zoo.docstrings import pairs; print([p.name for p in pairs(SEED)])"
    # another hash seed gives sets another order
    outputs = [
        subprocess.run(
            [sys.executable, "-c", script.replace("SEED", seed)],
            env={"PYTHONHASHSEED": hashing},
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout
        for seed, hashing in [("1", "1"), ("1", "2"), ("2", "1")]
    ]
    assert outputs[0] == outputs[1] != outputs[2]
    assert sorted(outputs[0]) == sorted(outputs[2])
