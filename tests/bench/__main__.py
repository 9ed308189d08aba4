"""All benches, one after the other; each in a process of its own."""

from __future__ import annotations

import subprocess
import sys

BENCHES = ("startup", "assembly", "noise")


def main() -> int:
    """Run them with the flags given; 1 when one could not measure (or, with --strict, missed a goal)."""
    codes = [_run(name) for name in BENCHES]
    return max(codes)


def _run(name: str) -> int:
    return subprocess.run([sys.executable, "-m", f"tests.bench.{name}", *sys.argv[1:]], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
