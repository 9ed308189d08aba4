"""Every uniform choice of five models beside ONNX Runtime's own quantizers: accuracy, speed-up, size.

    python -m tests.bench uniform [--json] [--quick] [--only NAME ...]

Each model is one run of `against_ort --uniform`, which says how each of their files was made. Two goals are
promises of ours: uniform int8-static costs PP-OCR and magika at most 3 points.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from tests.bench.harness import Found, Goal, document
from tests.bench.ort_files import ROOT

CONFIGS = ("minilm", "minilm-l6", "ocr", "efficientnet", "magika")
#: drop in points that uniform int8-static may cost
_POINTS = {"ocr": 3.0, "magika": 3.0}


def main() -> int:
    """One document from those of all models; 1 when one could not be measured, or --strict and a goal is unmet."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench uniform", description=main.__doc__)
    parser.add_argument("--json", action="store_true", help="print the document only")
    parser.add_argument("--quick", action="store_true", help="one session each")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a goal is unmet")
    parser.add_argument("--only", nargs="*", default=CONFIGS, choices=CONFIGS, help="of these models")
    asked = parser.parse_args()
    rows: list[dict[str, object]] = []
    goals: list[Goal] = []
    failed = False
    for name in asked.only:
        told = _run(name, quick=asked.quick)
        failed = failed or told is None
        found = [] if told is None else told["rows"]
        facts = {} if told is None else {key: told[key] for key in ("n", "metric", "sessions", "runtime", "notes")}
        rows += [{"model": name, **row} for row in found]
        rows.append({"model": name, "what": "sitting", **facts})
        if name in _POINTS:
            goals.append(goal_of(name, found))
    told = document("uniform", Found(rows=rows, goals=goals))
    print(json.dumps(told, indent=None if asked.json else 2, ensure_ascii=False))
    return 1 if failed or (asked.strict and not all(goal.met for goal in goals)) else 0


def goal_of(name: str, rows: Sequence[Mapping[str, Any]]) -> Goal:
    """Held-out points that uniform int8-static loses; not judged when it was not measured."""
    ours = [row for row in rows if "uniform int8-static" in str(row.get("what"))]
    value = next((row["drop_points"] for row in ours if "drop_points" in row), None)
    points = None if value is None else 100.0 * float(value)
    return Goal(name=f"{name}: uniform int8-static", value=points, unit="points", goal=f"<= {_POINTS[name]:g}")


def _run(name: str, *, quick: bool) -> dict[str, Any] | None:
    print(f"uniform: {name}", file=sys.stderr)
    flags = ["--uniform", "--top", "0", "--json", *(["--quick"] if quick else [])]
    command = [sys.executable, "-m", "tests.bench.against_ort", "--config", f"configs/{name}.yaml", *flags]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        return None
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


if __name__ == "__main__":
    sys.exit(main())
