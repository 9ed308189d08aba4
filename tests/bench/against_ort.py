"""A job's best candidates beside what ONNX Runtime's own quantizers make of the same model: one table.

    python -m tests.bench against_ort --config configs/minilm.yaml [--job JOB --database-url URL] [--top 5] [--uniform]

Their quantizers calibrate on the job's own calibration samples. All files are then timed against fp32 in
one sitting and scored on the same held-out samples (`qsearch eval`). Without `--job` the config is searched
first, in a database that is thrown away; with `--uniform` only its uniform candidates are made.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from qsearch.cluster.pools import open_pool
from qsearch.contracts.choices import UNTIMED, Choice
from qsearch.contracts.job import Job
from qsearch.contracts.layer import Layer
from qsearch.contracts.verdict import Verdict
from qsearch.contracts.views import EvalView, FrontRow, FrontView, Overrides, Progress
from qsearch.measure.fingerprint import saturates, this_machine
from qsearch.report.answer import Answer
from qsearch.report.writers import to_markdown
from qsearch.service.desk import LocalDesk, open_desk
from qsearch.service.evaluating import ready_for
from qsearch.service.preparing import model_path
from qsearch.service.scratch import own_scratch
from qsearch.service.workplace import Workplace
from qsearch.spec.settings import load_settings
from qsearch.store.artifacts import ArtifactStore
from qsearch.store.opening import open_ledger
from tests.bench.harness import document
from tests.bench.ort_files import make, recipes
from tests.bench.ort_table import OURS, THEIRS, Entry, found_of, table_of
from workers.splits import split_file

Flags = Mapping[str, str | None]


def main() -> int:
    """Search, or take a job; make their files; evaluate all; print the table and the document."""
    asked = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        flags = _flags(asked, Path(folder))
        with closing(open_desk(flags)) as desk:
            job = desk.status(asked.job or _search(desk, asked)).job
            target = asked.target or job.spec.targets[0].name
            entries = _entries(flags, desk.front(job.id, target), job, Path(folder), asked.top)
            models = [entry.model for entry in entries if not entry.error]
            _tell(f"{len(models) + 1} models in one sitting")
            view = desk.eval(models, asked.config, target=target, quick=asked.quick)
    found = found_of(entries, view)
    if not asked.json:
        table = table_of(entries, view)
        print(to_markdown(Answer(noun="", row_noun="", document={}, rows=(), tables=(table,))))
    told = {**document("against_ort", found), **_sat(job, view)}
    print(json.dumps(told, indent=None if asked.json else 2, ensure_ascii=False))
    return 1 if asked.strict and not all(goal.met for goal in found.goals) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench against_ort", description=main.__doc__)
    parser.add_argument("--config", type=Path, required=True, help="a job spec")
    parser.add_argument("--job", default="", help="a finished job of it; default: search now")
    parser.add_argument("--target", default="", help="default: the job's first")
    parser.add_argument("--database-url", help="where the job is; default: as qsearch finds it")
    parser.add_argument("--artifacts", help="the job's artifacts; default: as qsearch finds them")
    parser.add_argument("--top", type=int, default=5, help="candidates of the job beside its uniform ones")
    parser.add_argument("--uniform", action="store_true", help="search nothing: every available choice for all layers")
    parser.add_argument("--quick", action="store_true", help="one session, and four trials when searching")
    parser.add_argument("--json", action="store_true", help="print the document only")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a goal is unmet")
    return parser.parse_args()


def _flags(asked: argparse.Namespace, folder: Path) -> Flags:
    thrown_away = not asked.job and asked.database_url is None
    return {
        "database_url": f"sqlite:///{folder / 'search.db'}" if thrown_away else asked.database_url,
        "artifacts": str(folder / "artifacts") if thrown_away else asked.artifacts,
    }


def _search(desk: LocalDesk, asked: argparse.Namespace) -> str:
    targets = (asked.target,) if asked.target else ()
    overrides = Overrides(quick=asked.quick, trials=4 if asked.quick else None, targets=targets)
    if asked.uniform:
        # uniform candidates come before the search; its time limit must not cut them off
        overrides = replace(overrides, trials=len(UNTIMED), time="30m", choices=UNTIMED)
    told: list[str] = []

    def watch(progress: Progress) -> None:
        words = f"{progress.job.state.value} {sum(progress.trials.values())}/{progress.budget}: {progress.doing}"
        if words not in told:
            told.append(words)
            _tell(words)

    return desk.run(asked.config, overrides, watch).job.id


def _entries(flags: Flags, front: FrontView, job: Job, folder: Path, top: int) -> list[Entry]:
    """fp32 as it was given, the job's candidates, and their files."""
    given = Entry(
        by="–", what="fp32 as given", model=model_path(job.spec).path, op_types="", per_channel=False, preprocessing=""
    )
    with _place(flags) as place:
        layers = place.ledger.layers(job.id)
        target = next(t for t in job.spec.targets if t.name == front.target)
        samples = split_file(ready_for(place, job, target).splits, "calibration", target.batch)
    mine = [_ours(row, layers) for row in chosen(front, top)]
    return [given, *mine, *_theirs(Path(given.model), samples, folder)]


@contextmanager
def _place(flags: Flags) -> Iterator[Workplace]:
    settings = load_settings(flags, os.environ, Path.cwd())
    with closing(open_ledger(settings.value("database_url"))) as ledger:
        artifacts = ArtifactStore(Path(settings.value("artifacts")), ledger)
        with own_scratch(artifacts.scratch) as scratch, closing(open_pool("local", scratch=scratch)) as pool:
            yield Workplace(ledger=ledger, artifacts=artifacts, pool=pool, scratch=scratch)


def chosen(front: FrontView, top: int) -> list[FrontRow]:
    """The pick, the fastest feasible others up to `top` in all, then the uniform candidates that are not among them."""
    quantized = [row for row in front.rows if row.uniform != Choice.FP32.value]
    usable = [r for r in quantized if r.feasible and r.result.judged_latency.verdict is not Verdict.POLLUTED]
    fastest = sorted(usable, key=lambda row: (not row.pick, row.result.judged_latency.ratio.value))[:top]
    return [*fastest, *(row for row in quantized if row.uniform and row not in fastest)]


def _ours(row: FrontRow, layers: Sequence[Layer]) -> Entry:
    choices = row.result.trial.candidate.choices
    counts = Counter((choices[layer.id], layer.op) for layer in layers)
    words = [
        f"{choice.value} " + ", ".join(f"{op} {n}" for (what, op), n in sorted(counts.items()) if what is choice)
        for choice in Choice
        if any(what is choice for what, _ in counts)
    ]
    uniform = f", uniform {row.uniform}" if row.uniform else ""
    return Entry(
        by=OURS,
        what=f"{row.trial}{uniform}",
        model=row.trial,
        op_types="; ".join(words),
        per_channel=True,
        preprocessing="normal form",
        pick=row.pick,
    )


def _theirs(model: Path, samples: Path, folder: Path) -> list[Entry]:
    entries = []
    for number, recipe in enumerate(recipes(saturates=saturates(this_machine()))):
        _tell(f"ONNX Runtime, {recipe.name}")
        made = make(recipe, model, samples, folder / f"theirs-{number}.onnx")
        allowed = ", ".join(made.op_types)
        words = [
            made.preprocessing or ("quant_pre_process" if recipe.preprocess else "none"),
            *(["7-bit weights"] if recipe.reduce_range else []),
            *(["uint8 activations"] if recipe.unsigned else []),
            *(["ranges by entropy"] if recipe.entropy else []),
        ]
        entries.append(
            Entry(
                by=THEIRS,
                what=recipe.name,
                model=str(made.file or ""),
                op_types=allowed if recipe.op_types else f"default: {allowed}",
                per_channel=recipe.per_channel,
                preprocessing=", ".join(words),
                error=made.error,
            )
        )
    return entries


def _sat(job: Job, view: EvalView) -> dict[str, object]:
    sitting, samples = view.result.sitting, view.result.reference.heldout
    return {
        "config": view.spec,
        "job": job.id,
        "target": view.target,
        "n": samples.n,
        "metric": samples.metric,
        "sessions": len({block.session for block in sitting.blocks}),
        "tier": sitting.tier.value,
        "seconds": sitting.seconds,
        "runtime": view.result.circumstances.runtime,
        "max_drop": None if view.limit is None else str(view.limit),
        "notes": list(view.notes),
    }


def _tell(words: str) -> None:
    print(f"against_ort: {words}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
