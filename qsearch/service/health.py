"""`doctor`: whether this machine can search, and how steady its clockwork is."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from qsearch import __version__
from qsearch.contracts.errors import QSearchError
from qsearch.contracts.pool import Slot
from qsearch.contracts.views import Check
from qsearch.service.heading import present_head
from qsearch.service.placing import ask, must_be_asked
from qsearch.service.self_test import SelfTest, known_noise, must_be_there, self_test
from qsearch.service.workplace import Workplace
from qsearch.spec.settings import Settings
from qsearch.spec.targets import list_targets
from qsearch.store.sql_ledger import SqlLedger
from qsearch.store.urls import is_absent

PARTS = ("onnxruntime", "onnx", "onnx-ir", "optuna", "ray", "sqlalchemy", "numpy", "torch")
#: free bytes below which a job may fail to store what it prepares
ENOUGH_DISK = 2 << 30


def doctor(
    settings: Settings,
    ledger: Callable[[], SqlLedger],
    place: Callable[[], AbstractContextManager[Workplace]],
    *,
    test: SelfTest | None,
) -> tuple[Check, ...]:
    """Every check, each with a finding and, where it is not ok, what to do.

    Args:
        settings: of this desk.
        ledger: opens the database.
        place: opens a workplace.
        test: also sit these; None = tell what is known of the machine's noise.

    Raises:
        ModelError: the model to sit is not there.
    """
    if test is not None:
        must_be_there(test)
    checks = [_versions(), _database(settings, ledger), _disk(settings), *_head(ledger)]
    try:
        with place() as workplace:
            slot = workplace.pool.capacity()[0]
            checks += [*_machine(slot), *_elsewhere(workplace), _governor(), _clock()]
            checks += _noise(workplace, slot) if test is None else self_test(workplace, test)
    except QSearchError as error:
        checks.append(Check(name="worker", status="problem", finding=error.message, advice=error.hint))
    return tuple(checks)


def _versions() -> Check:
    found = [f"qsearch {__version__}", f"python {sys.version.split()[0]}"]
    missing = []
    for part in PARTS:
        try:
            found.append(f"{part} {version(part)}")
        except PackageNotFoundError:
            missing.append(part)
    advice = f"pip install {' '.join(missing)}" if missing else ""
    status = "problem" if missing else "ok"
    return Check(name="versions", status=status, finding=", ".join(found), advice=advice)


def _database(settings: Settings, ledger: Callable[[], SqlLedger]) -> Check:
    shown = settings.shown("database_url")
    try:
        new = is_absent(settings.value("database_url"))
        jobs = ledger().jobs(limit=1)
    except QSearchError as error:
        return Check(name="database", status="problem", finding=f"{shown}: {error.message}", advice=error.hint)
    finding = "in use" if jobs else "was not there, and was made; no job yet" if new else "no job yet"
    return Check(name="database", status="ok", finding=f"{shown}: {finding}")


def _head(ledger: Callable[[], SqlLedger]) -> list[Check]:
    """The local Ray head, where one lives: it takes memory, and a moment of the processors now and then."""
    try:
        head = present_head(ledger().uuid)
    except QSearchError:
        # a database that does not answer has said so above
        return []
    if head is None:
        return []
    if not head.answers:
        advice = "It may be slow; qsearch head stop ends it, and what runs on it."
        finding = f"process {head.pid} at {head.address} lives and does not answer"
        return [Check(name="ray head", status="warning", finding=finding, advice=advice)]
    finding = (
        f"process {head.pid} at {head.address}, {len(head.drivers)} drivers; it ends {head.idle_s:g} s after the last"
    )
    return [Check(name="ray head", status="ok", finding=f"{finding}, or with: qsearch head stop")]


def _disk(settings: Settings) -> Check:
    folder = Path(settings.value("artifacts"))
    there = next(p for p in (folder, *folder.parents) if p.exists())
    free = shutil.disk_usage(there).free
    finding = f"{free / (1 << 30):.1f} GiB free for {folder}"
    if free < ENOUGH_DISK:
        return Check(name="disk", status="warning", finding=finding, advice="Free some space, or set --artifacts.")
    return Check(name="disk", status="ok", finding=finding)


def _machine(slot: Slot) -> list[Check]:
    machine = slot.machine
    cores = "1 core" if machine.cores == 1 else f"{machine.cores} cores"
    finding = f"{machine.cpu}, {cores}, {machine.virtualisation}, class {machine.key}"
    checks = [Check(name="machine", status="ok", finding=finding)]
    vnni = any("vnni" in flag for flag in machine.isa)
    isa = ", ".join(machine.isa) or "none known"
    if "avx2" in machine.isa and not vnni:
        advice = "int8 saturates here without VNNI; QSearch quantizes weights to 7 bits on this machine."
        checks.append(Check(name="isa", status="warning", finding=isa, advice=advice))
    else:
        checks.append(Check(name="isa", status="ok", finding=isa))
    cpus = sorted(os.sched_getaffinity(0))
    advice = "With one core the search itself disturbs what it measures." if len(cpus) < 2 else ""
    checks.append(Check(name="cpus", status="warning" if advice else "ok", finding=f"may use {cpus}", advice=advice))
    runtimes = ", ".join(f"{name} {v}" for name, v in sorted(slot.runtimes.items()))
    return [*checks, Check(name="runtimes", status="ok" if runtimes else "problem", finding=runtimes or "none")]


def _elsewhere(place: Workplace) -> list[Check]:
    """Targets beside this folder's specs whose runtime lies in another environment, or that run on another provider."""
    checks = []
    for target in list_targets(Path.cwd()):
        if not must_be_asked(target):
            continue
        try:
            found = ask(place.workshop(), target)
        except QSearchError as error:
            checks.append(
                Check(name=f"target {target.name}", status="problem", finding=error.message, advice=error.hint)
            )
            continue
        finding = f"{found.runtime}, python {found.python}, numpy {found.numpy} at {target.python or sys.executable}"
        finding += f", providers {', '.join(found.providers)}"
        checks.append(Check(name=f"target {target.name}", status="ok", finding=finding))
    return checks


def _governor() -> Check:
    file = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    if not file.exists():
        return Check(name="governor", status="ok", finding="unavailable (a virtual machine hides it)")
    found = file.read_text(encoding="ascii").strip()
    if found != "performance":
        advice = "Steadier: sudo cpupower frequency-set -g performance"
        return Check(name="governor", status="warning", finding=found, advice=advice)
    return Check(name="governor", status="ok", finding=found)


def _clock() -> Check:
    file = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
    found = file.read_text(encoding="ascii").strip() if file.exists() else "unavailable"
    slow = found in ("hpet", "acpi_pm", "jiffies")
    advice = "This clock is slow to read; prefer tsc or kvm-clock." if slow else ""
    return Check(name="clock", status="warning" if slow else "ok", finding=found, advice=advice)


def _noise(place: Workplace, slot: Slot) -> list[Check]:
    try:
        return [known_noise(place.ledger, slot.machine.key)]
    except QSearchError:
        # a database that does not answer has said so above
        return []
