"""Fixtures for every folder of tests."""

from __future__ import annotations

import pytest

from tests.postgres import PostgresServer, shared_server, stop_shared


@pytest.fixture(scope="session")
def postgres() -> PostgresServer:
    """A private PostgreSQL server, one per pytest process, started when a test first asks for it."""
    return shared_server()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="slow tests that repeat something repeat it most often")


def pytest_unconfigure() -> None:
    stop_shared()
