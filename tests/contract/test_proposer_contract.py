"""What every proposer promises, whatever samples behind it."""

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from qsearch.contracts.candidate import Candidate
from qsearch.contracts.choices import DEFAULT, Choice
from qsearch.contracts.errors import Unsupported
from qsearch.contracts.job import Constraints, DropLimit, SearchSpec, SpaceSpec
from qsearch.contracts.layer import Layer
from qsearch.contracts.proposer import Proposer
from qsearch.contracts.trial import Proposal, Result, Trial, TrialState
from qsearch.contracts.verdict import Verdict
from qsearch.search.proposing import make_proposer
from qsearch.search.space import Space
from tests.factories import TARGET, make_layer, make_layers, make_result, make_trial

FP32, STATIC, DYNAMIC, TERNARY = DEFAULT
OBJECTIVES = ("latency", "drop")
LIMITS = Constraints(drop=DropLimit(amount=0.01, relative=True))
LAYERS = (
    make_layer("embeddings", op="Gather", choices=(FP32, TERNARY)),
    *make_layers(6),
    make_layer("head", choices=(FP32, STATIC, DYNAMIC)),
)
SPEC = SpaceSpec(pin={"block.5": DYNAMIC})
ROOT = Path(__file__).parents[2]

samplers = pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random"])


def proposer(sampler: str, *, layers: Sequence[Layer] = LAYERS, spec: SpaceSpec = SPEC, seed: int = 0) -> Proposer:
    search = SearchSpec(trials=60, seed=seed, sampler=sampler)
    return make_proposer(Space.of(layers, spec), search, TARGET, OBJECTIVES, constraints=LIMITS)


def measured(number: int, proposal: Proposal) -> Result:
    """An additive model: each choice saves time and costs accuracy, more so in later layers."""
    cost = {FP32: (0.0, 0.0), STATIC: (0.05, 0.002), DYNAMIC: (0.04, 0.001), TERNARY: (0.07, 0.02)}
    time, drop = 1.0, 0.0
    for place, choice in enumerate(proposal.candidate.choices.values()):
        time -= cost[choice][0]
        drop += cost[choice][1] * (1 + place % 3)
    return make_result(number, proposal.candidate, ratio=time, drop=drop, origin=proposal.origin)


def searched(one: Proposer, count: int, *, batch: int = 1, history: Sequence[Result] = ()) -> list[Result]:
    """Ask, measure, tell until `count` trials are known or the space is exhausted."""
    results = list(history)
    while len(results) < count:
        asked = one.propose(min(batch, count - len(results)), results, (), number=len(results))
        if not asked:
            break
        results.extend(measured(len(results) + place, proposal) for place, proposal in enumerate(asked))
    return results


def candidates(results: Sequence[Result]) -> list[Candidate]:
    return [result.trial.candidate for result in results]


@samplers
def test_uniform_candidates_come_first_in_order(sampler: str) -> None:
    space = Space.of(LAYERS, SPEC)
    asked = proposer(sampler).propose(6, (), (), number=0)
    uniform = space.uniform()
    assert [p.origin for p in asked[:4]] == [name for name, _ in uniform]
    assert [p.candidate for p in asked[:4]] == [candidate for _, candidate in uniform]
    assert [p.origin for p in asked[4:]] == [sampler, sampler]
    assert {p.target for p in asked} == {TARGET}


@samplers
def test_a_uniform_candidate_that_is_known_does_not_come_again(sampler: str) -> None:
    first = proposer(sampler).propose(2, (), (), number=0)
    failed = make_trial(1, first[1].candidate, origin=first[1].origin, state=TrialState.FAILED)
    asked = proposer(sampler).propose(3, [measured(0, first[0])], [failed], number=2)
    assert [p.origin for p in asked] == ["uniform int8-dynamic", "uniform ternary", sampler]


@samplers
def test_only_allowed_choices_and_pins_kept(sampler: str) -> None:
    space = Space.of(LAYERS, SPEC)
    for candidate in candidates(searched(proposer(sampler), 40, batch=4)):
        assert space.holds(candidate)
        assert candidate.choices["block.5"] is DYNAMIC
        assert all(isinstance(choice, Choice) for choice in candidate.choices.values())


@samplers
def test_nothing_is_proposed_twice(sampler: str) -> None:
    results = searched(proposer(sampler, spec=SpaceSpec(choices=(FP32, DYNAMIC))), 70, batch=3)
    digests = [candidate.digest for candidate in candidates(results)]
    assert len(digests) == len(set(digests)) == 70


@samplers
def test_failed_and_pending_trials_are_not_proposed_again(sampler: str) -> None:
    layers, spec = make_layers(3), SpaceSpec(choices=(FP32, DYNAMIC))
    space = Space.of(layers, spec)
    states = [TrialState.FAILED, TrialState.RUNNING, TrialState.QUEUED, TrialState.CANCELLED]
    pending = [make_trial(i, space.candidate(space.at(i)), state=states[i % 4]) for i in range(6)]
    asked = proposer(sampler, layers=layers, spec=spec).propose(8, (), pending, number=6)
    assert len(asked) == 2
    assert not {p.candidate.digest for p in asked} & {t.candidate.digest for t in pending}


@samplers
@pytest.mark.parametrize("batch", [1, 5])
def test_a_tiny_space_is_exhausted_exactly(sampler: str, batch: int) -> None:
    one = proposer(sampler, layers=make_layers(3), spec=SpaceSpec(choices=(FP32, STATIC, DYNAMIC)))
    results = searched(one, 100, batch=batch)
    assert len({candidate.digest for candidate in candidates(results)}) == len(results) == 27
    assert one.propose(1, results, (), number=27) == ()


@samplers
def test_a_space_without_a_choice_has_one_candidate(sampler: str) -> None:
    one = proposer(sampler, spec=SpaceSpec(pin={"*": FP32}))
    asked = one.propose(3, (), (), number=0)
    assert [p.origin for p in asked] == ["uniform fp32"]
    assert one.propose(3, [measured(0, asked[0])], (), number=1) == ()


@samplers
def test_the_same_history_gives_the_same_answer(sampler: str) -> None:
    history = searched(proposer(sampler), 24)
    asked = proposer(sampler).propose(4, history, (), number=24)
    assert proposer(sampler).propose(4, history, (), number=24) == asked
    assert proposer(sampler, seed=1).propose(4, history, (), number=24) != asked


@samplers
def test_a_resumed_job_asks_what_an_unkilled_one_would(sampler: str) -> None:
    unkilled = searched(proposer(sampler), 40)
    for cut in (2, 9, 23):
        assert searched(proposer(sampler), 40, history=unkilled[:cut]) == unkilled


@samplers
def test_a_batch_is_one_ask_after_the_other(sampler: str) -> None:
    history = searched(proposer(sampler), 24)
    at_once = proposer(sampler).propose(3, history, (), number=24)
    pending: list[Trial] = []
    one = proposer(sampler)
    for number in range(24, 27):
        (asked,) = one.propose(1, history, pending, number=number)
        pending.append(make_trial(number, asked.candidate, origin=asked.origin, state=TrialState.RUNNING))
    assert [p.candidate for p in at_once] == [t.candidate for t in pending]


@samplers
def test_what_a_living_proposer_remembers_changes_nothing(sampler: str) -> None:
    """Late finishers, a failure and a polluted trial: a living proposer answers as a fresh one."""
    space, living = Space.of(LAYERS, SPEC), proposer(sampler)
    asked = list(living.propose(30, (), (), number=0))
    assert all(space.holds(p.candidate) for p in asked)
    done = [measured(number, proposal) for number, proposal in enumerate(asked)]
    running = [replace(r.trial, state=TrialState.RUNNING) for r in done]
    failed = replace(running[7], state=TrialState.FAILED)
    polluted = replace(done[9], latency=replace(done[9].latency, verdict=Verdict.POLLUTED))
    moments = [
        (done[:12], running[12:]),
        ([*done[:12], done[14], done[20]], [r for r in running[12:] if r.number not in (14, 20)]),
        (done[:21], running[21:]),
        ([*done[:7], *done[8:25]], [failed, *running[25:]]),
        ([*done[:7], done[8], polluted, *done[10:]], [failed]),
        (done[:12], running[12:]),
    ]
    for history, pending in moments:
        assert living.propose(2, history, pending, number=30) == proposer(sampler).propose(
            2, history, pending, number=30
        )


_FRESH = """
import json, sys
sys.path.insert(0, sys.argv[1])
from test_proposer_contract import proposer, searched
results = searched(proposer(sys.argv[2]), 26)
asked = proposer(sys.argv[2]).propose(3, results, (), number=26)
print(json.dumps([r.trial.candidate.digest for r in results] + [p.candidate.digest for p in asked]))
"""


@samplers
def test_a_fresh_process_gives_the_same_answer(sampler: str) -> None:
    command = [sys.executable, "-c", _FRESH, str(Path(__file__).parent), sampler]
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=100)
    results = searched(proposer(sampler), 26)
    asked = proposer(sampler).propose(3, results, (), number=26)
    here = [r.trial.candidate.digest for r in results] + [p.candidate.digest for p in asked]
    assert json.loads(ran.stdout) == here
    assert ran.stderr == ""


@samplers
def test_other_targets_are_ignored(sampler: str) -> None:
    history = searched(proposer(sampler), 8)
    elsewhere = [replace(r, trial=replace(r.trial, target="there", number=50 + i)) for i, r in enumerate(history)]
    mixed = proposer(sampler).propose(2, [*history, *elsewhere], (), number=8)
    assert mixed == proposer(sampler).propose(2, history, (), number=8)


@samplers
def test_every_proposal_can_be_explained(sampler: str) -> None:
    one = proposer(sampler)
    asked = one.propose(6, (), (), number=0)
    assert one.explain(asked[1].candidate).startswith("uniform int8-static")
    assert sampler in one.explain(asked[5].candidate)
    assert sampler in proposer(sampler).explain(asked[5].candidate)


@samplers
def test_nothing_is_printed_and_no_warning_is_hidden(sampler: str, capfd: pytest.CaptureFixture[str]) -> None:
    searched(proposer(sampler), 14)
    assert capfd.readouterr() == ("", "")
    with pytest.warns(UserWarning, match="still heard"):
        warnings.warn("still heard", UserWarning, stacklevel=1)


def test_unknown_samplers_and_objectives_are_refused_by_name() -> None:
    space = Space.of(LAYERS, SPEC)
    with pytest.raises(Unsupported, match='"annealing"; available: tpe, nsga2, random'):
        make_proposer(space, SearchSpec(sampler="annealing"), TARGET, OBJECTIVES)
    with pytest.raises(Unsupported, match='"energy"'):
        make_proposer(space, SearchSpec(), TARGET, ("latency", "energy"))
    with pytest.raises(Unsupported, match="two different objectives, found drop, drop"):
        make_proposer(space, SearchSpec(), TARGET, ("drop", "drop"))
