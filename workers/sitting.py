"""Sittings in real children: the `Meter` of a machine, and predictions of whole splits."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from qsearch.contracts.causes import Cause
from qsearch.contracts.errors import UsageError, WorkFailed
from qsearch.contracts.limits import Limits
from qsearch.contracts.machine import Circumstances, Machine
from qsearch.contracts.measurement import ArmRun, Block, Sitting, Tier
from qsearch.contracts.meter import Arm
from qsearch.contracts.target import Target
from qsearch.contracts.task import Array
from qsearch.measure import wire
from qsearch.measure.fingerprint import circumstances, this_machine
from qsearch.measure.latency import half_width
from qsearch.measure.mix import typical
from qsearch.measure.protocol import PLANS, block_runs, group_runs, load_order, plan_for, rounds
from qsearch.measure.samples import read_samples
from workers.child_process import ChildProcess
from workers.cpus import choose_cpus
from workers.interpreters import probed
from workers.numerics import numerics_class
from workers.slot_lock import LOCK_WAIT_S, slot_lock
from workers.surroundings import Surroundings

#: Batches an arm cycles through; more would only fill its memory.
_BATCHES = 64


class ChildMeter:
    """Times arms in disposable children, on this machine."""

    def __init__(
        self,
        cpus: Sequence[int] | None = None,
        child_python: str = sys.executable,
        lock: Path | None = None,
        *,
        patience_s: float = 120.0,
        limits: Limits | None = None,
    ) -> None:
        """Args:
        cpus: CPUs to choose from, one per thread of the target; None = all this process may use.
        child_python: interpreter of the children whose target names none.
        lock: the machine's lock, held alone while a sitting lasts; None = the caller sees to it.
        patience_s: a child that says nothing for so long (to load a model, or beyond ten times the
            expected time of a block) counts as hung.
        limits: when telemetry rejects a pair; None = the written defaults.
        """
        self._cpus, self._python, self._lock = cpus, child_python, lock
        self._patience_s, self._limits = patience_s, limits or Limits()

    def sit(self, arms: Sequence[Arm], tier: Tier, *, seed: int) -> Sitting:
        """See `Meter.sit`. Raises UsageError for no arm or two of one name, Unsupported for too few CPUs."""
        names = [arm.name for arm in arms]
        if not names or len(set(names)) != len(names):
            raise UsageError(f"a sitting needs arms of different names, found {names}")
        cpus = choose_cpus(max(arm.target.threads for arm in arms), self._cpus)
        for arm in arms:
            must_serve(arm.target)
        with _locked(self._lock, exclusive=True) as inherit:
            work = _Work(
                arms={arm.name: arm for arm in arms},
                tier=tier,
                seed=seed,
                cpus=cpus,
                machine=this_machine(),
                python=self._python,
                inherit=inherit,
                patience_s=self._patience_s,
                limits=self._limits,
            )
            return work.sitting()


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """The outputs of one model on one file of samples."""

    #: for `read_outputs`
    outputs: Path
    #: nodes of the optimised graph by operator
    float_ops: Mapping[str, int]
    circumstances: Circumstances
    peak_rss_bytes: int
    #: of the whole child: start, load, run, write
    seconds: float


def predict(  # noqa: PLR0913 - four things and three ways to be told where
    model: Path,
    target: Target,
    samples: Path,
    out: Path,
    *,
    deadline_s: float,
    cpus: Sequence[int] | None = None,
    child_python: str = sys.executable,
    lock: Path | None = None,
) -> Predicted:
    """Run all samples of a file through a model, in a child that is then gone.

    Args:
        model: an .onnx file.
        target: runtime, provider, threads and options.
        samples: of `write_samples`; labels are not looked at.
        out: where the outputs go; not there unless all were written.
        deadline_s: for everything, from start to end.
        cpus: CPUs to choose from; None = all this process may use.
        child_python: interpreter of the child, unless the target names one.
        lock: the machine's lock, shared with other heavy work but not with a sitting; None = not locked.

    Raises:
        WorkFailed: NATIVE_CRASH, OUT_OF_MEMORY, TIMEOUT, or BAD_MODEL: refused, NaN, another batch axis.
    """
    started = time.monotonic()
    chosen, python = choose_cpus(target.threads, cpus), target.python or child_python
    must_serve(target)
    order = wire.PredictOrder(model=str(model), target=target, samples=str(samples), out=str(out), cpus=chosen)
    with _locked(lock, exclusive=False) as inherit:
        with ChildProcess(model.name, python, target.threads, inherit) as child:
            answer = child.ask(order, deadline_s)
        if not isinstance(answer, wire.Predictions):
            raise _unexpected(model.name, answer)
        seconds = time.monotonic() - started
        numerics = numerics_class(target, python, chosen, inherit)
    return Predicted(
        outputs=out,
        float_ops=answer.float_ops,
        circumstances=circumstances(target, answer.runtime, facts=answer.facts, numerics=numerics),
        peak_rss_bytes=answer.peak_rss_bytes,
        seconds=seconds,
    )


def must_serve(target: Target) -> None:
    """Refuse another environment's interpreter by name before anything is measured; the worker's own serves."""
    if target.python:
        probed(target)


def read_outputs(path: Path) -> dict[str, list[Array]]:
    """Output name → one array per sample without its batch axis, in the order of the samples.

    Raises:
        DataError: not a file that `predict` wrote.
    """
    file = read_samples(path)
    outputs: dict[str, list[Array]] = {}
    for batch in file.feeds:
        for name, array in batch.items():
            outputs.setdefault(name, []).extend(array)
    return outputs


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """One sitting under way."""

    arms: Mapping[str, Arm]
    tier: Tier
    seed: int
    cpus: tuple[int, ...]
    machine: Machine
    python: str
    inherit: tuple[int, ...]
    patience_s: float
    limits: Limits
    started: float = field(default_factory=time.monotonic)
    blocks: list[Block] = field(default_factory=list)
    runs: list[ArmRun] = field(default_factory=list)

    @property
    def reference(self) -> str:
        return next(iter(self.arms))

    def sitting(self) -> Sitting:
        target = self.arms[self.reference].target
        with Surroundings(target, self.cpus, self.limits, target.python or self.python, self.inherit) as around:
            for session in range(PLANS[self.tier].sessions):
                around.await_calm(session, PLANS[self.tier].calm_patience_s)
                self._session(session, around)
        return Sitting(
            tier=self.tier,
            reference=self.reference,
            runs=tuple(self.runs),
            blocks=tuple(self.blocks),
            seconds=time.monotonic() - self.started,
            cpus=self.cpus,
            limits=self.limits,
            canary=tuple(around.readings),
            readiness=tuple(around.readiness),
            unavailable=around.unavailable(self.blocks),
            polluters=around.polluters(),
        )

    def _session(self, session: int, around: Surroundings) -> None:
        with ExitStack() as stack:
            children: dict[str, ChildProcess] = {}
            warm: dict[str, wire.Warm] = {}
            for name in load_order(tuple(self.arms), session, self.seed):
                target = self.arms[name].target
                child = ChildProcess(f"arm {name}", target.python or self.python, target.threads, self.inherit)
                children[name] = stack.enter_context(child)
                warm[name] = self._warm(self.arms[name], child)
            around.read_canary(session, 0)
            peaks = self._rounds(session, children, warm, around)
        self.runs.extend(self._run(name, session, warm[name], peaks[name]) for name in self.arms)

    def _warm(self, arm: Arm, child: ChildProcess) -> wire.Warm:
        order = wire.ArmOrder(
            model=str(arm.model),
            target=arm.target,
            samples=str(arm.samples),
            batches=_BATCHES,
            cpus=self.cpus,
            warmup_cap_s=PLANS[self.tier].warmup_cap_s,
        )
        answer = child.ask(order, self.patience_s)
        if not isinstance(answer, wire.Warm):
            raise _unexpected(arm.name, answer)
        if answer.model_sha256 != arm.sha256:
            raise WorkFailed(
                Cause.BAD_MODEL,
                f"arm {arm.name}: expected a model with SHA-256 {arm.sha256[:12]}…, the child loaded "
                f"{answer.model_sha256[:12]}…",
                hint="The file changed while it was measured, or another one lies in its place.",
            )
        return answer

    def _rounds(
        self, session: int, children: Mapping[str, ChildProcess], warm: Mapping[str, wire.Warm], around: Surroundings
    ) -> dict[str, int]:
        """Time rounds until the plan says enough; the peak memory of each arm."""
        plan, first, runs, group = plan_for(self.tier, len(self.arms)), 0, 0, 1
        cycle = self._cycle(warm)
        times_ns = {name: arm.typical_ns for name, arm in warm.items()}
        peaks = dict.fromkeys(children, 0)
        for number, order in enumerate(rounds(tuple(self.arms), session, self.seed)):
            if plan.enough(session, number, self._clean(session), self._half_width(), self._elapsed()):
                return peaks
            first += runs
            if number % 2 == 0:
                # Anew for each R C C R: a warm-up under somebody else's load would leave blocks too short.
                seen = list(times_ns.values())
                runs, group = block_runs(seen, cycle), group_runs(seen, cycle)
            turn = wire.Turn(first=first, runs=runs, group=group)
            for position, name in enumerate(order):
                times = children[name].ask(turn, self.patience_s + 10 * runs * times_ns[name] / 1e9)
                if not isinstance(times, wire.Times):
                    raise _unexpected(name, times)
                place = (session, number, number * len(order) + position)
                block = self._block(name, place, times, group, cycle if group == 1 else 1)
                peaks[name], times_ns[name] = times.peak_rss_bytes, int(typical(block.samples_ns, block.cycle))
                self.blocks.append(block)
            if number % 2:
                around.read_canary(session, number + 1)
                self.blocks[:] = around.judge(self.blocks)
        return peaks

    def _cycle(self, warm: Mapping[str, wire.Warm]) -> int:
        found = {arm.cycle for arm in warm.values()}
        if len(found) > 1:
            words = ", ".join(f"{name} every {arm.cycle}" for name, arm in warm.items())
            raise UsageError(f"arms of a sitting must be fed the same samples; their shapes repeat: {words}")
        return found.pop()

    def _block(self, arm: str, place: tuple[int, int, int], times: wire.Times, group: int, cycle: int) -> Block:
        session, number, order = place
        return Block(
            arm=arm,
            session=session,
            round=number,
            order=order,
            samples_ns=times.samples_ns,
            group=group,
            cycle=cycle,
            telemetry=times.telemetry,
        )

    def _run(self, name: str, session: int, warm: wire.Warm, peak: int) -> ArmRun:
        return ArmRun(
            arm=name,
            session=session,
            model_sha256=warm.model_sha256,
            load_ms=warm.load_ms,
            first_ms=warm.first_ms,
            warmup_s=warm.warmup_s,
            steady=warm.steady,
            peak_rss_bytes=peak,
            circumstances=circumstances(self.arms[name].target, warm.runtime, self.machine, warm.facts),
        )

    def _clean(self, session: int) -> int:
        """Rounds of this session that nothing polluted."""
        polluted = {b.round for b in self.blocks if b.session == session and b.rejected}
        return len({b.round for b in self.blocks if b.session == session} - polluted)

    def _half_width(self) -> float:
        """Of what more pairs can narrow; not asked for where the plan stops by number alone."""
        return half_width(self.blocks, self.reference) if PLANS[self.tier].half_width else math.inf

    def _elapsed(self) -> float:
        return time.monotonic() - self.started


@contextmanager
def _locked(lock: Path | None, *, exclusive: bool) -> Iterator[tuple[int, ...]]:
    """Descriptors for the children to keep open."""
    if lock is None:
        yield ()
        return
    with slot_lock(lock, exclusive, LOCK_WAIT_S) as handle:
        yield (handle,)


def _unexpected(name: str, answer: wire.Message) -> WorkFailed:
    return WorkFailed(Cause.INFRA, f"{name}: the child answered with {type(answer).__name__}, out of turn")
