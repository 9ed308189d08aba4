import math

import pytest

from qsearch.contracts.choices import DEFAULT, Choice
from qsearch.contracts.errors import DataError, SpecError, Unsupported
from qsearch.contracts.job import SpaceSpec
from qsearch.search.space import Space, is_fp32
from tests.factories import make_candidate, make_inspection, make_layer, make_layers

FP32, STATIC, DYNAMIC, TERNARY = DEFAULT

EMBEDDING = make_layer("embeddings.word", op="Gather", choices=(FP32, TERNARY), parameters=10_000)
ENCODER = (EMBEDDING, make_layer("encoder.0.query"), make_layer("encoder.0.output", choices=(FP32, DYNAMIC)))


def test_choices_are_what_both_the_layer_and_the_spec_allow() -> None:
    space = Space.of(ENCODER, SpaceSpec(choices=(FP32, DYNAMIC, TERNARY)))
    assert space.allowed == {
        "embeddings.word": (FP32, TERNARY),
        "encoder.0.query": (FP32, DYNAMIC, TERNARY),
        "encoder.0.output": (FP32, DYNAMIC),
    }
    assert space.size == 12
    assert space.size_log10 == pytest.approx(math.log10(12))


def test_fp32_is_allowed_though_the_spec_leaves_it_out() -> None:
    space = Space.of(ENCODER, SpaceSpec(choices=(DYNAMIC,)))
    assert all(FP32 in choices for choices in space.allowed.values())
    assert space.uniform()[0][0] == "uniform fp32"


def test_uniform_candidates_come_in_the_order_of_the_spec() -> None:
    space = Space.of(ENCODER, SpaceSpec(choices=(TERNARY, FP32, DYNAMIC)))
    names = [name for name, _ in space.uniform()]
    assert names == ["uniform fp32", "uniform ternary", "uniform int8-dynamic"]
    assert space.uniform()[1][1].choices == {
        "embeddings.word": TERNARY,
        "encoder.0.query": TERNARY,
        "encoder.0.output": FP32,
    }


def test_equal_uniform_candidates_are_named_once() -> None:
    layers = make_layers(2, choices=(FP32, DYNAMIC))
    space = Space.of(layers, SpaceSpec(choices=DEFAULT))
    assert [name for name, _ in space.uniform()] == ["uniform fp32", "uniform int8-dynamic"]
    assert space.uniform_name(make_candidate(layers, DYNAMIC)) == "uniform int8-dynamic"
    assert space.uniform_name(make_candidate(layers, DYNAMIC, FP32)) == ""


def test_the_first_matching_pin_wins_and_uniform_candidates_keep_it() -> None:
    space = Space.of(ENCODER, SpaceSpec(pin={"*query": DYNAMIC, "encoder.*": FP32}))
    assert space.allowed["encoder.0.query"] == (DYNAMIC,)
    assert space.allowed["encoder.0.output"] == (FP32,)
    assert space.pinned == {"encoder.0.query", "encoder.0.output"}
    assert space.free == ("embeddings.word",)
    for _, candidate in space.uniform():
        assert space.holds(candidate)
    assert not is_fp32(space.uniform()[0][1])


def test_pins_that_match_nothing_are_all_refused_by_name() -> None:
    with pytest.raises(SpecError) as raised:
        Space.of(ENCODER, SpaceSpec(pin={"*embedings*": FP32, "encoder.*": FP32, "decoder.*": FP32}))
    assert [problem.path for problem in raised.value.problems] == ["space.pin.*embedings*", "space.pin.decoder.*"]
    assert "embeddings.word" in raised.value.hint


def test_a_pin_to_what_a_layer_cannot_have_names_layer_and_choice() -> None:
    with pytest.raises(Unsupported, match=r"embeddings\.word \(Gather\) int8-static") as raised:
        Space.of(ENCODER, SpaceSpec(pin={"emb*": STATIC}))
    assert "fp32, ternary" in raised.value.hint


def test_sizes_add_up_exactly() -> None:
    inspection = make_inspection(ENCODER, other_bytes=7)
    space = Space.of(ENCODER, SpaceSpec())
    assert space.size_bytes(make_candidate(ENCODER, FP32), inspection) == inspection.size_bytes == 48_007
    assert space.size_bytes(make_candidate(ENCODER, TERNARY, STATIC, DYNAMIC), inspection) == 7 + 2500 + 1000 + 1000
    assert space.smallest(inspection) == inspection.smallest_bytes == 7 + 2500 + 250 + 1000


def test_the_smallest_size_keeps_pins() -> None:
    inspection = make_inspection(ENCODER, other_bytes=7)
    space = Space.of(ENCODER, SpaceSpec(pin={"emb*": FP32}))
    assert space.smallest(inspection) == 7 + 40_000 + 250 + 1000


def test_the_size_of_an_incomplete_candidate_is_refused() -> None:
    space = Space.of(ENCODER, SpaceSpec())
    with pytest.raises(DataError, match=r"encoder\.0\.output"):
        space.size_bytes(make_candidate(ENCODER[:2], FP32), make_inspection(ENCODER))
    with pytest.raises(DataError, match="cannot be int8-static"):
        space.size_bytes(make_candidate(ENCODER, STATIC), make_inspection(ENCODER))


def test_indexes_number_every_candidate_once() -> None:
    space = Space.of(ENCODER, SpaceSpec(pin={"*output": DYNAMIC}))
    keys = {space.at(index) for index in range(space.size)}
    assert len(keys) == space.size == 8
    for key in keys:
        assert space.holds(space.candidate(key))
        assert space.key(space.candidate(key)) == key


def test_a_foreign_candidate_is_not_held() -> None:
    space = Space.of(ENCODER, SpaceSpec(pin={"*output": DYNAMIC}))
    assert not space.holds(make_candidate(ENCODER, FP32))
    assert not space.holds(make_candidate(ENCODER[:2], FP32))
    assert not space.holds(make_candidate((*ENCODER, make_layer("other")), FP32, FP32, DYNAMIC))


def test_fp32_means_no_layer_is_quantized() -> None:
    assert is_fp32(make_candidate(ENCODER, FP32))
    assert not is_fp32(make_candidate(ENCODER, FP32, Choice.TERNARY))
