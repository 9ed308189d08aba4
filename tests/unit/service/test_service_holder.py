"""A holder's name tells whether its process still lives."""

from __future__ import annotations

import subprocess
import sys

from qsearch.service.holder import is_dead, this_holder


def test_this_process_is_alive() -> None:
    assert not is_dead(this_holder())


def test_a_process_that_ended_is_dead() -> None:
    code = "from qsearch.service.holder import this_holder; print(this_holder())"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert is_dead(ended)


def test_another_host_is_never_known_to_be_dead() -> None:
    parts = this_holder().split("/")
    assert not is_dead("/".join(["elsewhere", *parts[1:-2], "1", "1"]))
    assert not is_dead("nonsense")


def test_the_same_number_given_out_again_is_another_process() -> None:
    host, boot, pid, start = this_holder().rsplit("/", 3)
    assert is_dead(f"{host}/{boot}/{pid}/{int(start) + 1}")
