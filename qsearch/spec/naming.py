"""Names of jobs and targets: what a reference on the command line can hold."""

from __future__ import annotations

import re

#: no slash and no `@`: they mean something in `JOB/42` and `@last`
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
NAME_EXAMPLE = "letters, digits, dots, dashes and underscores (64 at most)"


def is_name(text: str) -> bool:
    """Whether a text can name a job or a target."""
    return re.fullmatch(NAME_PATTERN, text) is not None


def name_from(stem: str) -> str:
    """A file's name without its ending as a job's name: what a name cannot hold becomes a dash."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:64] or "job"
