"""Why work failed, and how often each reason is worth another try."""

from __future__ import annotations

from enum import StrEnum


class Cause(StrEnum):
    """Why a task of the pool did not bring a result."""

    #: the worker, its machine or the connection died, or somebody killed a child; says nothing about the candidate
    INFRA = "infra"
    #: a child died by a signal, in native code; or the worker itself, which reads models
    NATIVE_CRASH = "native-crash"
    #: a child was killed, or refused, for memory; it may take what is free, and no more
    OUT_OF_MEMORY = "out-of-memory"
    #: a deadline passed, the work's own or that of one part of it; the child was killed
    TIMEOUT = "timeout"
    #: the user's own code raised, returned something else than outcomes or samples, or ended its process
    USER_ERROR = "user-error"
    #: the runtime refused the model, or the outputs are NaN or of another shape
    BAD_MODEL = "bad-model"
    #: a disk that the worker writes to has no room; says nothing about the candidate, and more attempts
    #: would find it just as full: the driver stops, and `resume` runs the trial again
    DISK_FULL = "disk-full"
    #: telemetry left too few samples
    POLLUTED = "polluted"
    #: the job was cancelled while the task ran
    CANCELLED = "cancelled"


#: How many more attempts a trial gets after a failure of this cause.
RETRIES: dict[Cause, int] = {
    Cause.INFRA: 3,
    Cause.NATIVE_CRASH: 1,
    Cause.OUT_OF_MEMORY: 1,
    Cause.TIMEOUT: 1,
    Cause.POLLUTED: 1,
    Cause.USER_ERROR: 0,
    Cause.BAD_MODEL: 0,
    Cause.DISK_FULL: 0,
    Cause.CANCELLED: 0,
}
