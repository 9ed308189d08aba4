"""A child's answers apart from whatever else it prints."""

from __future__ import annotations

import os
import sys
from typing import TextIO


def guarded_stdout() -> TextIO:
    """The real stdout under another number; number 1 becomes stderr, in native code and children too."""
    sys.stdout.flush()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers
