"""`plan`: what a job would do, before anything is started."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from qsearch.contracts.errors import InputError
from qsearch.contracts.job import JobSpec
from qsearch.contracts.ledger import Ledger
from qsearch.contracts.measurement import Tier
from qsearch.contracts.target import Target
from qsearch.contracts.trial import TrialState
from qsearch.contracts.views import Plan, TargetMatch
from qsearch.search.space import Space
from qsearch.service.placing import ask, must_be_asked
from qsearch.service.preparing import Preparer
from qsearch.service.workplace import Workplace

#: a trial's sitting where nothing is known yet: 2 sessions of loading, warming up and 4 to 12 pairs
GUESSED_TRIAL_S = 8.0
GUESSED_PREPARE_S = 30.0
GUESSED_FINALS_S = 90.0


def plan(place: Workplace, spec: JobSpec) -> Plan:
    """Layers, space, who could serve each target, and an estimate of the time.

    Raises:
        InputError: what no candidate can ever meet.
    """
    # who serves a target comes first: reading the model needs the first one's table of kernels
    matches = tuple(_match(place, target) for target in spec.targets)
    preparer = Preparer(place.workshop(), place.artifacts)
    inspection, space = preparer.inspect("plan", spec)
    estimate, measured = _estimate(place.ledger, spec, inspection.digest)
    remarks = [f"impossible: no machine can serve {m.target}: {'; '.join(m.reasons)}" for m in matches if not m.hosts]
    remarks += _smaller_spaces(preparer, spec, space, [m.target for m in matches if m.hosts])
    if not measured:
        remarks.append("the time is a guess: no job on this model has been measured in this database")
    if spec.search.time_s is not None and spec.search.trials * estimate["trial"] > spec.search.time_s:
        fits = max(1, int(spec.search.time_s / estimate["trial"]))
        remarks.append(f"the time limit comes first: about {fits} of {spec.search.trials} trials fit")
    uniforms = len(space.uniform())
    if spec.search.trials <= uniforms:
        remarks.append(
            f"{spec.search.trials} trials are spent on the {uniforms} uniform candidates; nothing is searched"
        )
    return Plan(
        spec=spec,
        inspection=inspection,
        space_log10=space.size_log10,
        matches=matches,
        estimate_s=estimate,
        remarks=tuple(remarks),
    )


def _smaller_spaces(preparer: Preparer, spec: JobSpec, space: Space, served: Sequence[str]) -> list[str]:
    """What further targets are searched without, beside the first; a pin that one cannot keep is refused here."""
    remarks = []
    for target in spec.targets[1:]:
        if _kernels(target) == _kernels(spec.targets[0]) or target.name not in served:
            continue
        _, theirs = preparer.inspect(f"plan/{target.name}", replace(spec, targets=(target,)))
        runs, here = ({c for got in s.allowed.values() for c in got} for s in (theirs, space))
        for one, lacks in ((target, here - runs), (spec.targets[0], runs - here)):
            if lacks:
                names = ", ".join(choice.value for choice in spec.space.choices if choice in lacks)
                remarks.append(f"{one.name} has no kernel for {names}: it is searched without")
    return remarks


def _kernels(target: Target) -> tuple[str, str, str]:
    """What decides which choices a target has."""
    return target.runtime, target.provider, target.python


def _match(place: Workplace, target: Target) -> TargetMatch:
    lacking = [(slot.machine.host, slot.lacks(target)) for slot in place.pool.capacity()]
    hosts = tuple(host for host, why in lacking if not why)
    reasons = tuple(why for _, why in lacking if why)
    if hosts and must_be_asked(target):
        try:
            ask(place.workshop(), target)
        except InputError as error:
            return TargetMatch(target=target.name, hosts=(), reasons=(*reasons, error.message))
    return TargetMatch(target=target.name, hosts=hosts, reasons=reasons)


def _estimate(ledger: Ledger, spec: JobSpec, digest: str) -> tuple[dict[str, float], bool]:
    """Seconds by part, from the newest measured job on the same model where there is one."""
    trial, prepare, measured = GUESSED_TRIAL_S, GUESSED_PREPARE_S, False
    for job in ledger.jobs(limit=20):
        prepared = ledger.prepared(job.id, job.spec.targets[0].name)
        done = ledger.trials(job.id, [TrialState.DONE])
        if prepared is None or prepared[1].inspection.digest != digest or not done:
            continue
        measurements = [ledger.measurement(job.id, t.number, Tier.SCREEN) for t in done[:10]]
        spent = [sum(m.seconds.values()) for m in measurements if m is not None]
        if spent:
            trial, measured = sum(spent) / len(spent), True
            prepare = sum(prepared[1].seconds.values())
            break
    search = trial * spec.search.trials
    if spec.search.time_s is not None:
        search = min(search, spec.search.time_s)
    parts = {"prepare": prepare, "trial": trial, "search": search, "finals": GUESSED_FINALS_S}
    return {**parts, "all": prepare + search + GUESSED_FINALS_S}, measured
