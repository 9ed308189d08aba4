"""All benches, one after the other; each in a process of its own.

python -m tests.bench [--json] [--quick] [--strict]     the benches that need nothing but the demo model
python -m tests.bench NAME ...                          one, or against_ort, uniform, tdq, instrument, with own flags
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

BENCHES = ("startup", "assembly", "noise")
#: run when named only: they need a config or a job, or half an hour
ASKED = ("against_ort", "instrument", "tdq", "uniform")


def main() -> int:
    """Run them with the flags given; 1 when one could not measure (or, with --strict, missed a goal)."""
    name, *flags = sys.argv[1:] or [""]
    if name in (*BENCHES, *ASKED):
        return _run(name, flags)
    return max(_run(bench, sys.argv[1:]) for bench in BENCHES)


def _run(name: str, flags: Sequence[str]) -> int:
    return subprocess.run([sys.executable, "-m", f"tests.bench.{name}", *flags], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
