"""The queue: who may serve what, and each attempt once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qsearch.cluster.memory import IMAGINED
from qsearch.cluster.waiting import Waiting, why_not
from qsearch.contracts.candidate import Candidate
from qsearch.contracts.choices import AVAILABLE
from qsearch.contracts.errors import Unsupported, UsageError
from qsearch.contracts.job import ModelRef
from qsearch.contracts.target import Target
from qsearch.contracts.work import InspectOrder, Work, WorkKind

AVX = replace(IMAGINED, machine=replace(IMAGINED.machine, host="x"), labels={"isa": "avx2,fma"})
ARM = replace(IMAGINED, machine=replace(IMAGINED.machine, host="y"), labels={"isa": "neon"})
ANY = Target(name="any")
ON_ARM = Target(name="arm", labels={"isa": "neon"})
ON_AVX = Target(name="avx", labels={"isa": "avx2"})


def test_a_slot_takes_the_first_piece_that_it_can_serve() -> None:
    waiting = Waiting()
    for key, target in [("a", ON_ARM), ("b", ON_AVX), ("c", ANY)]:
        waiting.add(_piece(key), target, [AVX, ARM])
    assert [_key(waiting.take(AVX)) for _ in range(3)] == ["b", "c", ""]
    assert _key(waiting.take(ARM)) == "a"
    assert len(waiting) == 0


def test_refusal_says_each_reason_once() -> None:
    waiting = Waiting()
    with pytest.raises(Unsupported) as refused:
        waiting.add(_piece("a"), ON_ARM, [AVX, AVX])
    assert refused.value.message.count("x has isa=avx2,fma, the target asks neon") == 1
    with pytest.raises(Unsupported, match="there is no machine"):
        waiting.add(_piece("a"), ANY, [])
    # a refused piece was not accepted: it may come again
    waiting.add(_piece("a"), ON_ARM, [ARM])
    with pytest.raises(UsageError, match="a was submitted with token 1"):
        waiting.add(_piece("a"), ON_ARM, [ARM])
    waiting.add(_piece("a", token=2), ON_ARM, [ARM])


def test_drop_takes_every_attempt_of_a_key() -> None:
    waiting = Waiting()
    for key, token in [("a", 1), ("b", 1), ("a", 2)]:
        waiting.add(_piece(key, token), ANY, [AVX])
    assert [(work.key, work.token) for work in waiting.drop("a")] == [("a", 1), ("a", 2)]
    assert _key(waiting.take(AVX)) == "b"


def test_stranded_pieces_leave_with_their_reason() -> None:
    waiting = Waiting()
    waiting.add(_piece("a"), ON_ARM, [AVX, ARM])
    waiting.add(_piece("b"), ANY, [AVX, ARM])
    assert waiting.stranded([AVX, ARM]) == []
    ((work, why),) = waiting.stranded([AVX])
    assert (work.key, why) == ("a", "x has isa=avx2,fma, the target asks neon")
    assert len(waiting) == 1


def test_why_not_is_empty_when_one_can() -> None:
    assert why_not(ON_ARM, [AVX, ARM]) == ()
    assert Candidate(choices={"a": AVAILABLE[0]}).digest


def _piece(key: str, token: int = 1) -> Work:
    order = InspectOrder(model=ModelRef(path="/m.onnx"), target=ANY, choices=AVAILABLE)
    return Work(kind=WorkKind.INSPECT, key=key, token=token, order=order, scratch="/tmp", deadline_s=1.0)


def _key(work: Work | None) -> str:
    return work.key if work is not None else ""
