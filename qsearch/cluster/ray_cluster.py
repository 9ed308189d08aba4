"""Joining a Ray cluster, or starting one on this machine alone."""

from __future__ import annotations

import ipaddress
import logging
import os
import secrets
import shutil
import socket
import tempfile
from types import TracebackType
from typing import Any

from qsearch.contracts.errors import Unreachable, Unsupported

#: the custom resource that one measuring slot is
SLOT = "qsearch_slot"
#: bytes of Ray's object store: orders and outcomes are text, so the smallest it accepts
STORE_BYTES = 80_000_000
#: seconds for a cluster's first answer
ANSWER_S = 5.0
#: what makes a cluster of our own; Ray reads it when it is imported and when its servers start
LOCAL = {
    # workers measure; Ray's default is niceness 15, which an ordinary user cannot undo
    "RAY_worker_niceness": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray's only switch that binds a local cluster to 127.0.0.1; without it every port listens to the network
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}


class RayCluster:
    """This process's connection to a Ray cluster.

    NOTE: a local cluster listens on 127.0.0.1 and still demands a token, because another user of the
    same machine reaches that address too. The token lives in this process's environment (as
    RAY_AUTH_TOKEN, where Ray looks for it) and never in a file: Ray's own would be readable by all.

    Args:
        address: `host:port` or `auto`; None starts a cluster that ends with this connection.
        slots: measuring slots of a cluster that is started here.
        allow_open: join a cluster on another host although Ray's token authentication is off.

    Raises:
        Unsupported: an address of the Ray client, or an open cluster on another host.
        Unreachable: no cluster answers there, or none can be started.
    """

    def __init__(self, address: str | None = None, *, slots: int = 1, allow_open: bool = False) -> None:
        self._folder = ""
        self._owned = False
        if address is None:
            self._start(slots)
        else:
            must_be_safe(address, allow_open)
            self._join(address)

    def __enter__(self) -> RayCluster:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def started_here(self) -> bool:
        """Whether the cluster was started by this connection and ends with it."""
        return bool(self._folder)

    def slots(self) -> int:
        """Measuring slots of the whole cluster, free or not."""
        import ray

        resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        return int(resources.get(SLOT, 0))

    def close(self) -> None:
        """Leave the cluster; end it when it was started here. Idempotent."""
        import ray

        if self._owned:
            self._owned = False
            ray.shutdown()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = ""

    def _start(self, slots: int) -> None:
        for name, value in LOCAL.items():
            os.environ.setdefault(name, value)
        if os.environ.setdefault("RAY_AUTH_MODE", "token").lower() == "token" and not _has_token():
            # kept for the whole process: Ray's native part remembers the first token that it saw
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        import ray

        if ray.is_initialized():
            # a second pool of this process shares the cluster; whoever started it ends it
            return
        _must_demand_tokens()
        self._folder = tempfile.mkdtemp(prefix="qsearch-ray-", dir=short_folder())
        self._connect(
            address="local",
            num_cpus=max(slots, os.cpu_count() or 1),
            resources={SLOT: slots},
            include_dashboard=False,
            object_store_memory=STORE_BYTES,
            _node_ip_address="127.0.0.1",
            _temp_dir=self._folder,
        )
        host = str(ray.get_runtime_context().gcs_address)
        if not host.startswith("127."):
            self.close()
            raise Unsupported(
                f"Ray would listen on {host}; expected 127.0.0.1",
                "Ray was imported before QSearch could set RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0; set it yourself.",
            )

    def _join(self, address: str) -> None:
        must_listen(address)
        import ray

        if not ray.is_initialized():
            must_answer(meant(address))
            self._connect(address=address)

    def _connect(self, **options: Any) -> None:
        import ray
        import ray.exceptions

        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            ray.shutdown()
            where = "on this machine" if self._folder else str(options["address"])
            self.close()
            raise _unreachable(where, error) from error
        self._owned = True


def must_listen(address: str) -> None:
    """Look before joining: where nobody listens, `ray.init` tries for minutes. Does not load Ray.

    Raises:
        Unreachable: nobody listens there.
    """
    host, colon, port = meant(address).rpartition(":")
    if not (colon and port.isdecimal()):
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()
    except OSError as error:
        raise _unreachable(address, error) from error


def must_answer(address: str) -> None:
    """Look before joining: with a wrong token, too, `ray.init` tries for minutes.

    Raises:
        Unreachable: what listens there is no cluster, or refuses the token.
    """
    import ray.exceptions
    from ray._raylet import GcsClient  # type: ignore[attr-defined]

    if not address.rpartition(":")[2].isdecimal():
        return
    try:
        GcsClient(address=address)
    except (OSError, RuntimeError, ray.exceptions.RayError) as error:
        raise _unreachable(address, error) from error


def _must_demand_tokens() -> None:
    """Ray's native part reads RAY_AUTH_MODE once per process; what came first decides.

    Raises:
        Unsupported: this process already used Ray in another mode than the environment now names.
    """
    from ray._raylet import AuthenticationMode, get_authentication_mode  # type: ignore[attr-defined]

    tokens = get_authentication_mode() == AuthenticationMode.TOKEN
    if tokens != (os.environ["RAY_AUTH_MODE"].lower() == "token"):
        raise Unsupported(
            f"this process has used Ray {'with' if tokens else 'without'} token authentication before;"
            f" RAY_AUTH_MODE={os.environ['RAY_AUTH_MODE']} comes too late",
            "Set RAY_AUTH_MODE before Ray is first used, or start the local cluster in a process of its own.",
        )


def meant(address: str) -> str:
    """The address behind `auto`, where the environment says it."""
    return os.environ.get("RAY_ADDRESS", address) if address == "auto" else address


def _unreachable(where: str, error: Exception) -> Unreachable:
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return Unreachable(
        f"no Ray cluster {where if where.startswith('on ') else f'at {where}'}: {first}",
        "Look at `ray status`; a cluster with tokens needs RAY_AUTH_MODE=token and its token here too.",
    )


def short_folder() -> str:
    """Where Ray's files go: its sockets lie 86 characters below, and a socket's path has at most 107."""
    usual = tempfile.gettempdir()
    return usual if len(usual) <= 20 else "/tmp"  # noqa: S108 - mkdtemp makes a folder of our own in it


def must_be_safe(address: str, allow_open: bool) -> None:
    """Refuse what is no cluster's address, and an open cluster of another host.

    Raises:
        Unsupported: names the address and what to do; without the address, where a password may be in it.
    """
    if "@" in address:
        raise Unsupported(
            "a Ray address holds no user and no password; expected host:port",
            "Ray knows tokens only: RAY_AUTH_MODE=token and the cluster's token, here and on every node.",
        )
    if "://" in address:
        whose = "Ray's dashboard" if address.startswith("http") else "the Ray client"
        raise Unsupported(f"{address} is an address of {whose}; expected host:port of the cluster itself, or auto")
    host = address.rpartition(":")[0].strip("[]") or address
    tokens = os.environ.get("RAY_AUTH_MODE", "").lower() == "token"
    if not (host in ("auto", "local") or is_loopback(host) or tokens or allow_open):
        raise Unsupported(
            f"{address} is another host and Ray's token authentication is off: whoever reaches it runs code on it",
            "Set RAY_AUTH_MODE=token and the cluster's token, here and on every node.",
        )


def is_loopback(host: str) -> bool:
    """Whether it is an address of this machine alone. A name may begin with 127. and lead anywhere."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _has_token() -> bool:
    return bool(os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH"))
