"""Flags of `run` over a spec."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from qsearch.contracts.choices import Choice
from qsearch.contracts.errors import NotFound, UsageError
from qsearch.contracts.job import JobSpec, SearchSpec, SpaceSpec
from qsearch.contracts.measurement import Tier
from qsearch.contracts.target import Target
from qsearch.contracts.views import Overrides
from qsearch.spec import words
from qsearch.spec.naming import NAME_EXAMPLE, is_name
from qsearch.spec.targets import find_target
from qsearch.spec.units import MAX_TRIALS, parse_time

Value = TypeVar("Value")


def override(spec: JobSpec, flags: Overrides) -> JobSpec:
    """The spec with the flags' values; `pool` concerns the driver and is left alone.

    Raises:
        UsageError: names the flag.
    """
    return replace(
        spec,
        name=spec.name if flags.name is None else _name(flags.name),
        precision=Tier.QUICK if flags.quick else spec.precision,
        targets=_targets(flags.targets, Path(spec.folder)) if flags.targets else spec.targets,
        space=_space(spec.space, flags.choices) if flags.choices else spec.space,
        search=_search(spec.search, flags),
    )


def _name(name: str) -> str:
    if not is_name(name):
        raise UsageError(f'--name: expected {NAME_EXAMPLE}, found "{name}"')
    return name


def _search(search: SearchSpec, flags: Overrides) -> SearchSpec:
    if flags.trials is not None and not 1 <= flags.trials <= MAX_TRIALS:
        raise UsageError(f"--trials: expected a whole number from 1 to {MAX_TRIALS}, found {_shortened(flags.trials)}")
    if flags.seed is not None and not 0 <= flags.seed < 2**32:
        raise UsageError(f"--seed: expected a whole number from 0 to {2**32 - 1}, found {_shortened(flags.seed)}")
    objection = "" if flags.sampler is None else words.SAMPLERS.objection(flags.sampler)
    if objection:
        raise UsageError(f"--sampler: {objection}")
    return replace(
        search,
        trials=_or(flags.trials, search.trials),
        time_s=search.time_s if flags.time is None else _flag("--time", parse_time, flags.time),
        seed=_or(flags.seed, search.seed),
        sampler=_or(flags.sampler, search.sampler),
        racing=_or(flags.racing, search.racing),
    )


def _shortened(number: int) -> str:
    """As it was typed; of a very long one the beginning."""
    try:
        text = str(number)
    except ValueError:
        # Python writes no number of thousands of digits
        return "a number of thousands of digits"
    return text if len(text) <= 30 else f"{text[:20]}… ({len(text)} digits)"


def _or(flag: Value | None, written: Value) -> Value:
    return written if flag is None else flag


def _flag(flag: str, parse: Callable[[str], Value], text: str) -> Value:
    try:
        return parse(text)
    except UsageError as error:
        raise UsageError(f"{flag}: {error.message}") from error


def _targets(names: tuple[str, ...], folder: Path) -> tuple[Target, ...]:
    found: dict[str, Target] = {}
    for name in names:
        try:
            target = find_target(name, folder)
        except NotFound as error:
            raise UsageError(f"--target: {error.message}") from error
        if target.digest in found:
            raise UsageError(f"--target: {name} is the same target as {found[target.digest].name}; give one of them")
        found[target.digest] = target
    return tuple(found.values())


def _space(space: SpaceSpec, choices: tuple[Choice, ...]) -> SpaceSpec:
    from qsearch.spec.document import choices_objection

    for choice in choices:
        objection = words.CHOICES.objection(choice)
        if objection:
            raise UsageError(f"--choice: {objection}")
    objection = choices_objection(tuple(dict.fromkeys(choices)))
    if objection:
        raise UsageError(f"--choice: {objection}")
    for pattern, choice in space.pin.items():
        if choice not in choices:
            raise UsageError(f'--choice: {choice} is missing, to which the spec pins "{pattern}"')
    return replace(space, choices=tuple(dict.fromkeys(choices)))
