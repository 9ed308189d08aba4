"""What a process's own machine code brings upon it, told from what others do to it."""

from __future__ import annotations

import signal

#: Signals of a native crash. Any other was sent by somebody else and says nothing about the model.
CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSYS, signal.SIGTRAP)
