import subprocess
import sys
from statistics import mean

import pytest
from additive_problem import AdditiveProblem, searched, true_hypervolume

from qsearch.contracts.choices import DEFAULT, Choice
from qsearch.contracts.job import Constraints, DropLimit, SearchSpec, SpaceSpec
from qsearch.search.proposing import make_proposer
from qsearch.search.rows import Row, Sampling
from qsearch.search.space import Space
from qsearch.search.study import StudyView
from tests.factories import TARGET, make_candidate, make_layers, make_result

FP32, STATIC, DYNAMIC, TERNARY = DEFAULT


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
@pytest.mark.parametrize("layers", [12, 30])
def test_a_sampler_is_not_worse_than_a_lottery(sampler: str, layers: int) -> None:
    """Mean hypervolume over four problems after 60 trials; the uniform runs alone have 0.227."""
    problems = [(AdditiveProblem(layers, seed), seed) for seed in range(4)]
    reached = {
        name: mean(true_hypervolume(p, searched(p, name, trials=60, seed=seed)) for p, seed in problems)
        for name in (sampler, "random")
    }
    assert reached[sampler] >= reached["random"]
    assert reached["random"] > 0.227


def test_optuna_is_not_imported_before_something_is_proposed() -> None:
    rooms = "feasible, finalists, pareto, pick, proposing, space, stopping"
    code = f"import sys; from qsearch.search import {rooms}; print('optuna' in sys.modules, 'scipy' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout == "False False\n"


def test_added_trials_are_the_population_of_nsga2() -> None:
    space = Space.of(make_layers(20), SpaceSpec())
    sampling = Sampling.of("nsga2", 60)
    parents = [tuple([choice] * 20) for choice in (STATIC, DYNAMIC)] * 5
    rows = [Row(key, 0, (float(i), float(-i))) for i, key in enumerate(parents)]
    study = StudyView(space, 2)
    study.hold(rows, [])
    children = [study.draw(sampling, generation=1, seed=seed) for seed in range(20)]
    inherited = [sum(choice in (STATIC, DYNAMIC) for choice in child) for child in children]
    # One gene in twenty mutates, and half of the mutants are fp32 or ternary.
    assert min(inherited) >= 15
    assert mean(inherited) > 19
    first = study.draw(sampling, generation=0, seed=0)
    assert sum(choice in (STATIC, DYNAMIC) for choice in first) < 18


def test_late_finishers_join_the_parents() -> None:
    """Optuna caches the parents of a generation; a resumed job would see others than a living one."""
    space = Space.of(make_layers(20), SpaceSpec())
    sampling = Sampling.of("nsga2", 60)
    early = [Row(tuple([STATIC] * 20), 0, (1.0, 1.0)), Row(tuple([DYNAMIC] * 20), 0, (1.1, 1.0))]
    late = Row(tuple([TERNARY] * 20), 0, (0.5, 0.5))
    study, fresh = StudyView(space, 2), StudyView(space, 2)
    study.hold(early, [])
    study.draw(sampling, generation=1, seed=0)
    study.hold([*early, late], [])
    fresh.hold([*early, late], [])
    drawn = [study.draw(sampling, generation=1, seed=seed) for seed in range(8)]
    assert drawn == [fresh.draw(sampling, generation=1, seed=seed) for seed in range(8)]
    assert any(choice is TERNARY for child in drawn for choice in child)


@pytest.mark.parametrize("finished", [0, 1])
def test_a_generation_without_parents_is_drawn_at_random(finished: int) -> None:
    """Everything of the first generation may still run, or have failed."""
    space = Space.of(make_layers(20), SpaceSpec())
    study = StudyView(space, 2)
    study.hold([Row(tuple([STATIC] * 20), 0, (1.0, 1.0))][:finished], [Row(tuple([DYNAMIC] * 20), 0)] * 9)
    assert len(set(study.draw(Sampling.of("nsga2", 60), generation=1, seed=0))) > 2


def test_running_trials_are_told_to_tpe() -> None:
    """The constant liar: with many equal running trials, the draw moves away from them."""
    space = Space.of(make_layers(8), SpaceSpec(choices=(FP32, DYNAMIC)))
    sampling = Sampling.of("tpe", 60)
    finished = [Row(space.at(i), 0, (float(i % 7), float(i % 5))) for i in range(16)]
    study = StudyView(space, 2)
    study.hold(finished, [])
    alone = study.draw(sampling, generation=0, seed=3)
    study.hold(finished, [Row(alone, 0)] * 12)
    assert study.draw(sampling, generation=0, seed=3) != alone
    study.hold(finished, [])
    assert study.draw(sampling, generation=0, seed=3) == alone


@pytest.mark.parametrize(("trials", "population", "startup"), [(10, 8, 5), (30, 8, 6), (60, 10, 10), (500, 50, 10)])
def test_settings_follow_the_budget(trials: int, population: int, startup: int) -> None:
    sampling = Sampling.of("tpe", trials)
    assert (sampling.population, sampling.startup) == (population, startup)


def test_a_limit_on_the_drop_keeps_the_search_near_it() -> None:
    problem = AdditiveProblem(12, 0)
    limits = Constraints(drop=DropLimit(amount=0.02, relative=True))
    kept = {}
    for name, constraints in (("free", Constraints()), ("limited", limits)):
        proposer = make_proposer(
            problem.space, SearchSpec(trials=60), TARGET, ("latency", "drop"), constraints=constraints
        )
        results = []
        while len(results) < 60:
            (asked,) = proposer.propose(1, results, (), number=len(results))
            results.append(problem.measure(len(results), asked))
        kept[name] = sum(result.accuracy.drop.value <= 0.02 for result in results)
    assert kept["limited"] > kept["free"]


def test_milliseconds_move_with_the_pooled_reference_and_nothing_breaks() -> None:
    layers = make_layers(5)
    space = Space.of(layers, SpaceSpec())
    search, limits = SearchSpec(trials=30), Constraints(latency_ms=6.0)
    living = make_proposer(space, search, TARGET, ("latency", "size"), constraints=limits)
    results = [make_result(0, make_candidate(layers, FP32))]
    for number in range(1, 16):
        fresh = make_proposer(space, search, TARGET, ("latency", "size"), constraints=limits)
        asked = living.propose(1, results, (), number=number)
        assert fresh.propose(1, results, (), number=number) == asked
        got = asked[0].candidate.choices.values()
        ratio = 1.0 - 0.1 * sum(choice is not Choice.FP32 for choice in got) + 0.001 * number
        results.append(make_result(number, asked[0].candidate, ratio=ratio, size=1000 - number))
