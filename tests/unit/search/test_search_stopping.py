from qsearch.contracts.choices import DEFAULT
from qsearch.contracts.job import Constraints, DropLimit
from qsearch.contracts.trial import Result
from qsearch.search.stopping import plateau
from tests.factories import make_candidate, make_layers, make_result

FP32, STATIC, DYNAMIC, TERNARY = DEFAULT
LAYERS = make_layers(4)
AXES = ("latency", "drop")
UNIFORM = [
    make_result(0, make_candidate(LAYERS, FP32), origin="uniform fp32"),
    make_result(1, make_candidate(LAYERS, DYNAMIC), ratio=0.7, drop=0.004, origin="uniform int8-dynamic"),
    make_result(2, make_candidate(LAYERS, TERNARY), ratio=0.4, drop=0.9, origin="uniform ternary"),
]


def mixtures(count: int, *, start: int = 3, ratio: float = 0.9, drop: float = 0.01) -> list[Result]:
    return [make_result(start + i, make_candidate(LAYERS, STATIC), ratio=ratio, drop=drop) for i in range(count)]


def test_no_plateau_before_the_window_is_full() -> None:
    assert not plateau([], AXES)
    assert not plateau([*UNIFORM, *mixtures(19)], AXES)
    assert plateau([*UNIFORM, *mixtures(20)], AXES)


def test_progress_within_the_window_is_no_plateau() -> None:
    better = mixtures(1, start=10, ratio=0.6, drop=0.002)
    stalled = mixtures(7) + better
    assert not plateau([*UNIFORM, *stalled, *mixtures(15, start=11)], AXES)
    assert plateau([*UNIFORM, *stalled, *mixtures(20, start=11)], AXES)


def test_the_window_grows_with_the_history() -> None:
    better = mixtures(1, start=70, ratio=0.6, drop=0.002)
    history = [*UNIFORM, *mixtures(67), *better, *mixtures(25, start=71)]
    assert not plateau(history, AXES)
    assert plateau([*history, *mixtures(10, start=96)], AXES)


def test_without_two_uniform_candidates_there_is_no_yardstick() -> None:
    assert not plateau([UNIFORM[0], *mixtures(60)], AXES)


def test_with_a_limit_only_what_keeps_it_counts_and_small_drops_matter() -> None:
    """Below 1 % a gain is a thousandth of the area up to ternary's 90 %, but much of what is feasible."""
    limits = Constraints(drop=DropLimit(amount=0.01, relative=True))
    gain = mixtures(1, start=20, ratio=0.7, drop=0.003)
    history = [*UNIFORM, *mixtures(17), *gain, *mixtures(19, start=21)]
    assert plateau(history, AXES)
    assert not plateau(history, AXES, constraints=limits)
    infeasible = mixtures(1, start=20, ratio=0.3, drop=0.3)
    assert plateau([*UNIFORM, *mixtures(17), *infeasible, *mixtures(19, start=21)], AXES, constraints=limits)
