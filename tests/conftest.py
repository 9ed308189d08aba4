"""Fixtures for every folder of tests."""

from __future__ import annotations

import pytest

from tests.postgres import PostgresServer, shared_server, stop_shared


@pytest.fixture(scope="session")
def postgres() -> PostgresServer:
    """A private PostgreSQL server, one per pytest process, started when a test first asks for it."""
    return shared_server()


@pytest.fixture(autouse=True)
def nobody_s_data(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test reads or writes what the user keeps: settings, databases, heads. Children inherit it."""
    home = tmp_path_factory.getbasetemp() / "nobody"
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    for name in ("QSEARCH_DATABASE_URL", "QSEARCH_DATABASE_URL_FILE", "QSEARCH_ARTIFACTS", "QSEARCH_RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="slow tests that repeat something repeat it most often")


def pytest_unconfigure() -> None:
    stop_shared()
