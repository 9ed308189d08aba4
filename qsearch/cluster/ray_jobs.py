"""Drivers as Ray jobs: handing one to a cluster, seeing what became of it, and knowing to be one.

NOTE: Ray runs the entrypoint through a shell and shows it to everybody who may look, so it holds the
job's id and nothing else that was ever typed. What the driver must know travels as metadata: facts
without a secret. Where the database is, it knows from the settings of its own host.
"""

from __future__ import annotations

import json
import logging
import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qsearch.cluster.ray_cluster import ANSWER_S, is_loopback, meant, must_answer, must_be_safe, must_listen
from qsearch.contracts.errors import Unreachable, UsageError

#: what Ray would obey instead of the address it is given
_OVERRIDES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
_SUBMITTED = "RAY_JOB_CONFIG_JSON_ENV_VAR"
_TALKERS = ("ray.dashboard.modules.dashboard_sdk", "ray._private.runtime_env.packaging")
#: seconds a driver that was submitted before may wait for a measuring slot
SLOT_WAIT_S = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Passport:
    """What a driver is told about the job it was started for."""

    #: uuid of the database that holds the job
    database: str
    #: the host it was submitted from, `this_place()`
    place: str
    #: folder of the artifacts on that host
    artifacts: str
    #: "yes" when the spec's folder travelled with it
    travelled: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """The Ray job that this process is the driver of."""

    job: str
    epoch: int
    passport: Passport


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What became of a Ray job."""

    ended: bool
    #: Ray's word: PENDING, RUNNING, SUCCEEDED, FAILED, STOPPED
    status: str


class RayJobs:
    """The job server of a cluster.

    Args:
        address: of the dashboard, `http(s)://host:port`; or of the cluster itself, `host:port` or
            `auto`, which is asked where its dashboard is.
        token: file with the cluster's token; None leaves it to RAY_AUTH_MODE and its company.

    Raises:
        Unsupported: an open cluster on another host, or an address of the Ray client.
        Unreachable: nobody answers there, or refuses us.
    """

    def __init__(self, address: str, *, token: Path | None = None) -> None:
        if token is not None:
            os.environ.update({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)})
            os.environ.pop("RAY_AUTH_TOKEN", None)
        address = meant(address).rstrip("/")
        dashboard = address.startswith(("http://", "https://"))
        where = address.partition("://")[2] if dashboard else address
        must_be_safe(where, allow_open=False)
        must_listen(where)
        if is_loopback(where.rpartition(":")[0].strip("[]") or where):
            # otherwise Ray takes loopback for another name of the host's own address, where nobody may listen
            os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        if not dashboard:
            must_answer(where)
        _past_proxies()
        from ray.job_submission import JobSubmissionClient

        for name in _TALKERS:
            logging.getLogger(name).setLevel(logging.ERROR)
        with _translated(address), _without_overrides():
            self._client: Any = JobSubmissionClient(address)
        self._address = str(self._client.get_address())

    @property
    def address(self) -> str:
        """Of the dashboard, http://host:port."""
        return self._address

    def hosts(self) -> frozenset[str]:
        """The hosts of the cluster that are alive. Raises Unreachable."""
        from ray.util.state import list_nodes

        with _translated(self._address), _without_overrides():
            nodes = list_nodes(address=self._address, timeout=round(ANSWER_S) * 6)
        return frozenset(str(node.node_ip) for node in nodes if node.state == "ALIVE")

    def start(self, job: str, epoch: int, passport: Passport, folder: Path | None) -> str:
        """Start the driver of a job under an epoch; Ray's id of it.

        Args:
            job: its id.
            epoch: the one the driver is to take; the id is JOB-EPOCH, and Ray refuses one that it has seen.
            passport: facts for the driver.
            folder: what travels as its working folder; None = nothing.

        Raises:
            Unreachable: refused, or nobody answers any more.
        """
        with _translated(self._address):
            return str(
                self._client.submit_job(
                    entrypoint=entrypoint(job, travelled=folder is not None),
                    submission_id=f"{job}-{epoch}",
                    metadata=asdict(passport),
                    runtime_env={} if folder is None else {"working_dir": str(folder)},
                )
            )

    def look(self, submission: str) -> Standing:
        """How the Ray job stands. Raises Unreachable."""
        with _translated(self._address):
            status = self._client.get_job_status(submission)
        return Standing(ended=bool(status.is_terminal()), status=str(status.value))

    def last_words(self, submission: str) -> tuple[str, ...]:
        """The lines that the driver wrote, without Ray's own; of a job that never ran, why. Raises Unreachable."""
        with _translated(self._address):
            logs = str(self._client.get_job_logs(submission))
            message = str(self._client.get_job_info(submission).message or "")
        ours = logs.partition("Running entrypoint for job")[2].partition("\n")[2] or logs or message
        return tuple(line.strip() for line in ours.splitlines() if line.strip())


def entrypoint(job: str, *, travelled: bool) -> str:
    """The shell's line that drives a job: this interpreter where the head has it, else its `python`.

    The job's id is of our own making, letters and digits; nothing that a user typed is in the line.

    Raises:
        UsageError: it is no id.
    """
    if not (job.isalnum() and job.isascii()):
        raise UsageError(f"expected the id of a job, found {job!r}")
    # -P: the working folder must not be searched for modules, it may hold the user's code. What Ray adds
    # to PYTHONPATH for it is not for the driver either.
    words = f"{'-E ' if travelled else ''}-P -u -m qsearch drive {job}"
    here = shlex.quote(sys.executable)
    return f"if [ -x {here} ]; then exec {here} {words}; else exec python {words}; fi"


def this_submission(environment: Mapping[str, str]) -> Submitted:
    """What this process was started for, when it is the driver of a submitted job.

    Raises:
        UsageError: it is not.
    """
    try:
        told = json.loads(environment[_SUBMITTED])["metadata"]
        job, _, epoch = str(told["job_submission_id"]).rpartition("-")
        passport = Passport(**{name: str(told[name]) for name in Passport.__dataclass_fields__})
        return Submitted(job=job, epoch=int(epoch), passport=passport)
    except (KeyError, ValueError, TypeError) as error:
        raise UsageError(
            "drive is what submit starts inside Ray, and this is no such place", "qsearch resume JOB drives a job here."
        ) from error


def _past_proxies() -> None:
    """A proxy that the user has set does not know this machine's loopback."""
    known = os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or ""
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(word for word in (known, "127.0.0.1", "localhost") if word)


@contextmanager
def _translated(address: str) -> Iterator[None]:
    import ray.exceptions
    import requests
    from ray.util.state.exception import RayStateApiException

    foreign = (requests.RequestException, ray.exceptions.RayError, RayStateApiException)
    try:
        yield
    except (ConnectionError, requests.ConnectionError, requests.Timeout) as error:
        raise Unreachable(
            f"no Ray job server answers at {address}: the connection could not be made, or broke off",
            "Look whether that cluster still lives; the local one: qsearch head show",
        ) from error
    except (OSError, RuntimeError, ValueError, *foreign) as error:
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise Unreachable(
            f"no Ray job server at {address}: {first}",
            "A cluster with tokens needs RAY_AUTH_MODE=token and its token here too.",
        ) from error


@contextmanager
def _without_overrides() -> Iterator[None]:
    """What was said to us is what Ray is to use."""
    taken = {name: os.environ.pop(name) for name in _OVERRIDES if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(taken)
