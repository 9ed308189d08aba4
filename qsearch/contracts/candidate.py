"""A candidate: what every layer gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qsearch.contracts.choices import Choice
from qsearch.contracts.codec import digest_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Layer id → choice, complete: a layer that is not named is an error, not fp32."""

    choices: Mapping[str, Choice]

    @property
    def digest(self) -> str:
        """SHA-256 of the choices alone; with the prepared model's digest it names the artifact."""
        return digest_of(self.choices)

    def counts(self) -> dict[Choice, int]:
        """How many layers got each choice, in the order of `Choice`; choices nobody got are absent."""
        got = list(self.choices.values())
        return {choice: got.count(choice) for choice in Choice if choice in got}
