"""What is known of a machine's own noise: asked before work is handed out, kept after it came back.

NOTE: what teaches. Every sitting in which two arms had the same file is an A/A sitting, whoever asked for it:
the self-test, trial 0 of a search (fp32 against fp32) and finals with fp32 among the finalists. Using those of
jobs is sound for three reasons: they are chosen by what was asked and never by what was measured; each session
is of fresh children, so that sessions of different sittings are independent; and pairs are rejected by telemetry
only, as everywhere. They are of the models that people really search, which a self-test's is not. Two kinds are
left out, because they would be chosen by their outcome: a trial that was measured again because its pairs were
polluted counts only as it was accepted, and a comparison that found two files equally fast is no A/A.

NOTE: what separates sittings of unlike files is learned from accepted measurements themselves, so nothing
is kept for it: `Ledger.repeats` finds what was measured more than once.

NOTE: what a trial was judged with is in its latency (`Latency.luck`). Later trials of a job know more than
earlier ones, and a front compares intervals of both: each has its 95 %, the later ones are narrower. The raw
samples are kept, so that all can be summarised again under one belief.
"""

from __future__ import annotations

from collections.abc import Sequence

from qsearch.contracts.ledger import Ledger
from qsearch.contracts.measurement import Sitting
from qsearch.contracts.noise import NoiseFloor, SessionLuck
from qsearch.measure.flicker import with_flicker
from qsearch.measure.luck import luck_of
from qsearch.measure.noise import equal_sessions, noise_of


def known_luck(ledger: Ledger, *machine_keys: str) -> tuple[SessionLuck, ...]:
    """What is known of these classes of machines, under every runtime: A/A sittings, and what was measured twice."""
    keys = dict.fromkeys(machine_keys)
    equal = luck_of([floor for key in keys for floor in ledger.noise(key)])
    return with_flicker(equal, [repeat for key in keys for repeat in ledger.repeats(key)])


def keep_noise(ledger: Ledger, sittings: Sequence[Sitting], source: str, model: str) -> NoiseFloor | None:
    """Keep what sittings show of their machine; None when nothing in them was equal."""
    if not any(equal_sessions(sitting) for sitting in sittings):
        return None
    machines = {run.circumstances.machine_key for sitting in sittings for run in sitting.runs}
    known = [floor for key in machines for floor in ledger.noise(key)]
    found = noise_of(sittings, source=source, model=model, known=known)
    if found is not None:
        ledger.save_noise(found)
    return found
