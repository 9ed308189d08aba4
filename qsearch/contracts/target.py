"""Where a candidate must run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from qsearch.contracts.codec import digest_of


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

    @property
    def digest(self) -> str:
        """SHA-256 of everything but the name: equal targets under two names are one."""
        return digest_of(
            {n: getattr(self, n) for n in ("runtime", "provider", "threads", "batch", "labels", "options")}
        )
