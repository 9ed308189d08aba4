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

    Numbers of different sittings may be compared only where they agree: times by `must_agree`, scores by
    `Scored.must_agree`.
    """

    machine_key: str
    host: str
    #: name and version of what ran: "onnxruntime 1.32.0"
    runtime: str
    #: short hash of runtime, version, provider, options, threads, optimisation level, batch
    runtime_key: str
    #: the values behind `runtime_key`, and whatever else was seen (niceness, affinity, spin...)
    details: Mapping[str, str] = field(default_factory=dict)
    #: short hash of the shapes that were timed, in their order; empty where nothing was timed
    shapes: str = ""
    #: short hash of the outputs of fixed computations: machines of one class and two of one numerics class
    #: give a model's outputs alike, bit by bit; empty where none were computed
    numerics: str = ""

    def must_agree(self, other: Circumstances) -> None:
        """Refuse to compare times of unlike sittings.

        NOTE: shapes are no part of the runtime key, because what is learned of a runtime on a machine
        (its noise) holds for every model. They are compared where both are known: circumstances of a
        run that was not timed have none.

        Raises:
            Incomparable: names the field and both values, and the settings behind a key.
        """
        for name in ("machine_key", "runtime_key", "shapes"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs and (name != "shapes" or (mine and theirs)):
                raise Incomparable(
                    f"cannot compare: {name} is {mine} ({self.runtime}) here and {theirs} ({other.runtime}) there"
                    f"{self._difference(other)}",
                    "Measure both in one sitting instead: qsearch bench A B",
                )

    def _difference(self, other: Circumstances) -> str:
        told = [
            f"{name} {self.details[name] or 'none'} here, {other.details[name] or 'none'} there"
            for name in ("provider", "threads", "batch", "scenario", "options", "provider_options", "shapes")
            if name in self.details and name in other.details and self.details[name] != other.details[name]
        ]
        return f": {'; '.join(told)}" if told else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What a score was taken on and under."""

    metric: str
    #: SHA-256 of the samples and labels of all splits
    data: str
    circumstances: Circumstances

    def must_agree(self, other: Scored) -> None:
        """Refuse to compare scores of unlike samples, metrics or arithmetic.

        NOTE: the runtime key may differ: that two runtimes score alike is a thing to be found out. On one
        class of machines nothing else is asked; between two, the same kernels must have shown that they
        compute the same, or a difference of the machines would be taken for one of the models.

        Raises:
            Incomparable: names the field and both values.
        """
        for name in ("metric", "data"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                raise Incomparable(
                    f"cannot compare the scores: {name} is {mine[:16]} here and {theirs[:16]} there",
                    "Score both on the same samples by the same metric: qsearch eval A B --spec SPEC",
                )
        self._must_compute_alike(other)

    def _must_compute_alike(self, other: Scored) -> None:
        mine, theirs = self.circumstances, other.circumstances
        if mine.machine_key != theirs.machine_key and (not mine.numerics or mine.numerics != theirs.numerics):
            raise Incomparable(
                f"cannot compare the scores: machine class {mine.machine_key} computes in numerics class "
                f"{mine.numerics or 'unknown'} here, {theirs.machine_key} in {theirs.numerics or 'unknown'} there",
                "Score both on one class of machines; a target's labels can ask for it, for example isa.",
            )
