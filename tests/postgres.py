"""A private PostgreSQL server for tests, from the system's own binaries.

It listens on loopback only, asks for a password, keeps nothing on purpose (`fsync=off`: what is
tested is a process that dies, not a power cut) and dies with the process that started it.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import psycopg
import pytest
from psycopg import sql

from qsearch.store.opening import open_ledger
from qsearch.store.tables import metadata

MISSING = "PostgreSQL's server programs are not there: apt-get install postgresql, or have pg_config in PATH"
#: the account that initdb runs under when the tests run as root, whom it refuses
_ACCOUNT = "postgres"
_ADMIN = "admin"
#: what a server of a team gives its users: a login that owns its databases and nothing else
_OWNER = "qsearch"
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_connections": "60",
    "max_wal_size": "256MB",
    "autovacuum": "off",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "dynamic_shared_memory_type": "mmap",
    "log_min_messages": "warning",
    "timezone": "Asia/Kathmandu",  # a server's own time zone must not matter
}
_PR_SET_PDEATHSIG = 1
_START_S = 30.0
#: databases that are kept; older ones that nobody is connected to make room
_KEPT = 16
_shared: list[PostgresServer] = []


def shared_server() -> PostgresServer:
    """The server of this pytest process, started when first asked for; `stop_shared` ends it.

    Without the server's programs the test that asks fails, or is skipped when
    QSEARCH_TEST_WITHOUT_POSTGRES is 1.
    """
    if not _shared:
        if find_bindir() is None:
            if os.environ.get("QSEARCH_TEST_WITHOUT_POSTGRES") == "1":
                pytest.skip(MISSING)
            pytest.fail(f"{MISSING}; or set QSEARCH_TEST_WITHOUT_POSTGRES=1 to do without these tests")
        server = PostgresServer()
        server.start()
        _shared.append(server)
    return _shared[0]


def stop_shared() -> None:
    """End the shared server, if there is one."""
    while _shared:
        _shared.pop().stop()


class PostgresServer:
    """A cluster of its own in a folder of its own.

    Use as a context manager, or call `start` and `stop`. Not thread-safe but for `fresh_url`.
    """

    def __init__(self) -> None:
        self.password = secrets.token_hex(8)
        self.port = 0
        self._databases: list[str] = []
        self._template = ""
        self._given_back: list[str] = []
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> PostgresServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, folder: Path | None = None) -> None:
        """Make the cluster and start it.

        Args:
            folder: where to keep it; it must be reachable for the server's account. None = a new one.
        """
        bindir = find_bindir()
        if bindir is None:
            raise FileNotFoundError(MISSING)
        self._bindir = bindir
        self._folder = folder or Path(tempfile.mkdtemp(prefix="qsearch-pg-"))
        self._folder.chmod(0o711)
        try:
            self._make_cluster()
            self.port = _free_port()
            self.start_again()
            self._make_owner()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server and remove its folder."""
        self.halt()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def halt(self) -> None:
        """End the server as an administrator would; the folder stays for `start_again`."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
        self._process = None

    def kill(self) -> None:
        """SIGKILL to the postmaster; its children notice and end too."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = None

    def start_again(self) -> None:
        """Start the cluster after `kill` or `halt`, on the same port; returns when it answers."""
        deadline = time.monotonic() + _START_S
        while not self._started(deadline):
            # Children of a killed postmaster keep its shared memory for a moment.
            if time.monotonic() > deadline:
                raise TimeoutError(f"PostgreSQL did not start: {self.log()}")

    def fresh_url(self, *, template: str = "template1", owner: str = _OWNER) -> str:
        """URL of a new database of the login `owner`, who may do nothing outside of it.

        Args:
            template: name of a database to copy; nobody may be connected to it.
            owner: a login that exists.
        """
        name = f"t{secrets.token_hex(6)}"
        self._make_room()
        self.administer(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {} STRATEGY {}").format(
                sql.Identifier(name), sql.Identifier(template), sql.Identifier(owner), sql.Identifier("file_copy")
            )
        )
        self._databases.append(name)
        return self.url(name, owner)

    def ledger_url(self) -> str:
        """As `fresh_url`, of a database that holds an empty ledger; all of them have one uuid.

        Pass the URL to `give_back` when nobody uses it any more: emptying is quick, copying is not.
        """
        if self._given_back:
            return self._given_back.pop()
        if not self._template:
            url = self.fresh_url()
            open_ledger(url).close()
            self._template = self._databases.pop()
        return self.fresh_url(template=self._template)

    def give_back(self, url: str) -> None:
        """Empty the ledger of a `ledger_url`; nobody may be connected to it."""
        tables = [table.name for table in reversed(metadata.sorted_tables) if table.name != "meta"]
        statement = "; ".join(f"DELETE FROM {table}" for table in tables)
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[call-overload]
        self._given_back.append(url)

    def url(self, database: str, login: str = _OWNER, *, password: str = "") -> str:
        """URL of a database for a login; all logins have one password."""
        return f"postgresql+psycopg://{login}:{password or self.password}@127.0.0.1:{self.port}/{database}"

    def administer(self, statement: sql.Composable | str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run one statement as superuser outside of a transaction; its rows."""
        with self._admin(database) as connection:
            cursor = connection.execute(sql.SQL(statement) if isinstance(statement, str) else statement)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def make_login(self, name: str, attributes: str = "") -> None:
        """A login with the server's one password, for instance `make_login("guest", "CREATEROLE")`."""
        self.administer(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} " + attributes).format(
                sql.Identifier(name), sql.Literal(self.password)
            )
        )

    def log(self) -> str:
        """The last of what the server wrote."""
        return (self._home / "log").read_text(errors="replace")[-2000:]

    def _make_room(self) -> None:
        """Each database takes 8 MB; one that was dropped is no longer in anybody's hands."""
        if len(self._databases) < 2 * _KEPT:
            return
        used = {name for (name,) in self.administer("SELECT DISTINCT datname FROM pg_stat_activity")}
        old = self._databases[:-_KEPT]
        for name in old:
            if name not in used:
                self.administer(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))
        self._databases = [name for name in self._databases if name not in old or name in used]

    @property
    def _home(self) -> Path:
        if self._folder is None:
            raise RuntimeError("the server has not been started")
        return self._folder

    def _make_cluster(self) -> None:
        data, secret = self._home / "data", self._home / "password"
        data.mkdir(mode=0o700)
        secret.write_text(self.password)
        if os.geteuid() == 0:
            shutil.chown(data, _ACCOUNT)
            shutil.chown(secret, _ACCOUNT)
        words = ["--no-sync", "--auth=scram-sha-256", f"--username={_ADMIN}", f"--pwfile={secret}"]
        words += ["--encoding=UTF8", "--locale=C", "-D", str(data)]
        made = subprocess.run(
            [self._bindir / "initdb", *words], capture_output=True, text=True, check=False, timeout=60, **_as_account()
        )
        if made.returncode:
            raise RuntimeError(f"initdb failed: {made.stderr}")
        with (data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in _SETTINGS.items())

    def _make_owner(self) -> None:
        self.make_login(_OWNER)

    def _started(self, deadline: float) -> bool:
        with (self._home / "log").open("ab") as log:
            words = [self._bindir / "postgres", "-D", self._home / "data", "-p", str(self.port)]
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_die_with(),  # noqa: PLW1509 - the only way to say it before exec
                **_as_account(),
            )
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                self._admin("postgres").close()
            except psycopg.OperationalError:
                time.sleep(0.02)
            else:
                return True
        return False

    def _admin(self, database: str) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=_ADMIN,
            password=self.password,
            dbname=database,
            autocommit=True,
            connect_timeout=10,
        )


def find_bindir() -> Path | None:
    """The folder of initdb and postgres: what pg_config says, else Debian's newest; None = not installed."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda f: int(f.parent.name), reverse=True)
    if shutil.which("pg_config"):
        told = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=True)
        folders.insert(0, Path(told.stdout.strip()))
    return next((folder for folder in folders if (folder / "initdb").exists() and (folder / "postgres").exists()), None)


def _as_account() -> dict[str, object]:
    """Arguments of Popen: another account when we are root, and a folder that it may stand in."""
    other = {"user": _ACCOUNT, "group": _ACCOUNT, "extra_groups": []} if os.geteuid() == 0 else {}
    return {**other, "cwd": "/", "env": {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}}


def _die_with() -> Callable[[], None]:
    """What a child calls to get SIGQUIT (immediate shutdown) when this process ends, however it ends."""
    libc, parent = ctypes.CDLL(None), os.getpid()

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)
        if os.getppid() != parent:
            os._exit(1)

    return ask


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
