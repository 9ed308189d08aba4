"""Machines and circumstances: what a number was taken under."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from qsearch.contracts.codec import digest_of
from qsearch.contracts.errors import Incomparable


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One host and the class it belongs to.

    NOTE: the key hashes what defines a *class* of machines. Clock readings, host names, memory size
    and kernels move by themselves and would cut one machine's history in two (a bogomips reading
    has done so elsewhere), so they are stored, never hashed.
    """

    #: one physical or virtual host, stable over reboots
    host: str
    cpu: str
    #: the instruction sets that change kernels, sorted: avx2, avx512_vnni, amx_int8, i8mm...
    isa: tuple[str, ...]
    #: CPUs this process may use
    cores: int
    #: kvm, docker, none, unknown...
    virtualisation: str
    #: GPU model → how many
    gpus: Mapping[str, int] = field(default_factory=dict)
    #: hostname, kernel, ram_bytes, mhz...: stored, not part of the key
    details: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Short hash (16 hex digits) of the class."""
        parts = {n: getattr(self, n) for n in ("cpu", "isa", "cores", "virtualisation", "gpus")}
        return digest_of(parts)[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """The machine and software a measurement was taken under.

    Numbers of different sittings may be compared only where `machine_key` and `runtime_key` agree.
    """

    machine_key: str
    host: str
    #: name and version of what ran: "onnxruntime 1.32.0"
    runtime: str
    #: short hash of runtime, version, provider, options, threads, optimisation level, batch
    runtime_key: str
    #: the values behind `runtime_key`, and whatever else was seen (niceness, affinity, spin...)
    details: Mapping[str, str] = field(default_factory=dict)

    def must_agree(self, other: Circumstances) -> None:
        """Refuse to compare numbers of unlike sittings.

        Raises:
            Incomparable: names the field and both values.
        """
        for name in ("machine_key", "runtime_key"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                raise Incomparable(
                    f"cannot compare: {name} is {mine} ({self.runtime}) here and {theirs} ({other.runtime}) there",
                    "Measure both in one sitting instead: qsearch bench A B",
                )
