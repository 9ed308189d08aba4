"""The space of a job: what every layer may get, and the candidates everybody compares with.

NOTE: a pin is judged against what the layer can be given, not against `space.choices`: the layers
were inspected under the spec, so their `choices` already are what can be built. fp32 stays allowed
in every layer that no pin fixes, also when the spec does not list it, because a layer that cannot
be left alone would make "do not quantize this one" unreachable.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from qsearch.contracts.candidate import Candidate
from qsearch.contracts.choices import Choice
from qsearch.contracts.errors import DataError, Problem, SpecError, Unsupported
from qsearch.contracts.job import SpaceSpec
from qsearch.contracts.layer import Inspection, Layer

#: the choices of a candidate in the order of `Space.free`; equal keys are equal candidates
Key = tuple[Choice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """Every candidate a search may propose. Build it with `Space.of`.

    Promises: each candidate it hands out names every layer, holds allowed choices only and keeps the
    pins; the order of layers and choices is fixed, so indexes and keys mean the same on any machine.
    """

    #: layer id → what it may get, in the order of the layers; one choice = fixed
    allowed: Mapping[str, tuple[Choice, ...]]
    #: ids of the layers that a pin fixes
    pinned: frozenset[str]
    #: the spec's choices in its order, fp32 first when the spec leaves it out
    order: tuple[Choice, ...]

    @classmethod
    def of(cls, layers: Sequence[Layer], spec: SpaceSpec) -> Space:
        """What `spec` leaves of the layers' own choices.

        Args:
            layers: of the inspected model, in graph order.
            spec: choices in the order the uniform candidates come; pins by glob, the first match wins.

        Raises:
            SpecError: a pin matches no layer.
            Unsupported: a pin fixes a choice that a layer it matches cannot have.
        """
        _refuse_idle_pins(layers, spec.pin)
        order = spec.choices if Choice.FP32 in spec.choices else (Choice.FP32, *spec.choices)
        allowed: dict[str, tuple[Choice, ...]] = {}
        pinned = set()
        for layer in layers:
            fixed = _pin_of(layer, spec.pin)
            if fixed is not None:
                pinned.add(layer.id)
                allowed[layer.id] = (fixed,)
            else:
                allowed[layer.id] = tuple(c for c in order if c is Choice.FP32 or c in layer.choices)
        return cls(allowed=allowed, pinned=frozenset(pinned), order=order)

    @property
    def free(self) -> tuple[str, ...]:
        """Ids of the layers that have more than one choice left."""
        return tuple(layer for layer, choices in self.allowed.items() if len(choices) > 1)

    @property
    def size(self) -> int:
        """The exact number of candidates; an int of any length."""
        return math.prod(len(choices) for choices in self.allowed.values())

    @property
    def size_log10(self) -> float:
        """log10 of the number of candidates."""
        return sum(math.log10(len(choices)) for choices in self.allowed.values())

    def uniform(self) -> tuple[tuple[str, Candidate], ...]:
        """("uniform fp32", …), then one per choice in the spec's order: every layer that can have it
        has it, the others are fp32, pins are kept. A candidate equal to an earlier one is left out."""
        found: dict[Key, tuple[str, Candidate]] = {}
        for choice in (Choice.FP32, *self.order):
            candidate = Candidate(choices={layer: self._uniform_choice(layer, choice) for layer in self.allowed})
            found.setdefault(self.key(candidate), (f"uniform {choice}", candidate))
        return tuple(found.values())

    def uniform_name(self, candidate: Candidate) -> str:
        """The name under which `uniform` lists the candidate ("uniform int8-dynamic"), "" if it is mixed."""
        for name, known in self.uniform():
            if known.choices == candidate.choices:
                return name
        return ""

    def size_bytes(self, candidate: Candidate, inspection: Inspection) -> int:
        """Bytes of the model under a candidate: exact, because sizes of layers add up.

        Raises:
            DataError: the candidate leaves out a layer, or gives one a choice whose bytes nobody knows.
        """
        total = inspection.other_bytes
        for layer in inspection.layers:
            choice = candidate.choices.get(layer.id)
            if choice is None:
                raise DataError(f"the candidate does not say what layer {layer.id} gets; a candidate names every layer")
            if choice not in layer.bytes:
                raise DataError(f"layer {layer.id} cannot be {choice}; it has {_names(layer.bytes)}")
            total += layer.bytes[choice]
        return total

    def smallest(self, inspection: Inspection) -> int:
        """Bytes of the smallest model the space can reach, pins kept."""
        least = {}
        for layer in inspection.layers:
            built = {choice: layer.bytes[choice] for choice in self.allowed.get(layer.id, ()) if choice in layer.bytes}
            least[layer.id] = min(built, key=built.__getitem__, default=Choice.FP32)
        return self.size_bytes(Candidate(choices=least), inspection)

    def holds(self, candidate: Candidate) -> bool:
        """Whether the candidate names exactly the layers of the space and gives each an allowed choice."""
        chosen = candidate.choices
        return len(chosen) == len(self.allowed) and all(
            chosen.get(layer) in choices for layer, choices in self.allowed.items()
        )

    def key(self, candidate: Candidate) -> Key:
        """The choices of the free layers in order; of a candidate that the space holds."""
        return tuple(candidate.choices[layer] for layer in self.free)

    def candidate(self, key: Sequence[Choice]) -> Candidate:
        """The candidate behind a key."""
        chosen = dict(zip(self.free, key, strict=True))
        return Candidate(choices={layer: chosen.get(layer, choices[0]) for layer, choices in self.allowed.items()})

    def at(self, index: int) -> Key:
        """The key with this number, 0 ≤ index < size: digits of a number whose places are the free layers."""
        digits = []
        for layer in self.free:
            index, digit = divmod(index, len(self.allowed[layer]))
            digits.append(self.allowed[layer][digit])
        return tuple(digits)

    def _uniform_choice(self, layer: str, choice: Choice) -> Choice:
        choices = self.allowed[layer]
        if len(choices) == 1:
            return choices[0]
        return choice if choice in choices else Choice.FP32


def is_fp32(candidate: Candidate) -> bool:
    """Whether nothing is quantized: such a candidate is the reference arm itself."""
    return all(choice is Choice.FP32 for choice in candidate.choices.values())


def _refuse_idle_pins(layers: Sequence[Layer], pins: Mapping[str, Choice]) -> None:
    idle = [glob for glob in pins if not any(fnmatchcase(layer.id, glob) for layer in layers)]
    if idle:
        some = ", ".join(layer.id for layer in layers[:3]) + (", …" if len(layers) > 3 else "")
        problems = tuple(Problem(f"space.pin.{glob}", f"matches none of the {len(layers)} layers") for glob in idle)
        raise SpecError("spec", problems, f"Layers are called {some}; `qsearch inspect MODEL` lists them.")


def _pin_of(layer: Layer, pins: Mapping[str, Choice]) -> Choice | None:
    for glob, choice in pins.items():
        if not fnmatchcase(layer.id, glob):
            continue
        if choice is not Choice.FP32 and choice not in layer.choices:
            raise Unsupported(
                f'pin "{glob}" gives layer {layer.id} ({layer.op}) {choice}, which it cannot have',
                f"It can have {_names(layer.choices)}: pin it to one of these, or make the pattern narrower.",
            )
        return choice
    return None


def _names(choices: Collection[Choice]) -> str:
    return ", ".join(str(choice) for choice in choices)
