"""Where a candidate must run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from qsearch.contracts.codec import digest_of
from qsearch.contracts.scenario import Scenario, scenario_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Runtime, provider, threads, batch, and what the machine must have."""

    name: str
    runtime: str = "onnxruntime"
    provider: str = "CPU"
    #: threads inside one operator; set and asserted in the measuring child
    threads: int = 1
    #: samples per inference
    batch: int = 1
    #: labels a machine must carry: {"isa": "avx2"}; empty matches every machine
    labels: Mapping[str, str] = field(default_factory=dict)
    #: session options of the runtime, by its own names: {"session.x64quantprecision": "1"}
    options: Mapping[str, str] = field(default_factory=dict)
    #: absolute path of the interpreter that has the runtime, in an environment of its own; empty = the worker's.
    #: A link is not followed: which environment an interpreter belongs to is in the path that it is called by
    python: str = ""
    #: options of the provider, by its own names: {"device_id": "1"}
    provider_options: Mapping[str, str] = field(default_factory=dict)
    #: as it was asked for; empty = what the batch says. `measured_as` is what holds
    scenario: str = ""

    @property
    def measured_as(self) -> Scenario:
        """What is reported of it."""
        return scenario_of(self.scenario, self.batch)

    @property
    def digest(self) -> str:
        """SHA-256 of everything but the name: equal targets under two names are one.

        NOTE: what stands at its default is left out where the key came later, so that targets keep the
        digest they are stored under. The interpreter's path is in the digest, because two environments are
        two targets, and not in the runtime key, because the same runtime at another path gives the same
        numbers: there its version stands, as the child reports it, and the path is a fact beside it.
        """
        parts = {n: getattr(self, n) for n in ("runtime", "provider", "threads", "batch", "labels", "options")}
        later = {n: getattr(self, n) for n in ("python", "provider_options") if getattr(self, n)}
        if self.measured_as is not scenario_of("", self.batch):
            later["scenario"] = self.measured_as
        return digest_of({**parts, **later})
