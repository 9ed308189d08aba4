"""A Ray that is imagined: actors whose answers a test gives, and no process at all.

NOTE: the real one reads its settings once, when it is imported; it must not be imported here.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest


@dataclass
class Ref:
    """What a remote call returns; done when `answer` is there."""

    answer: str | Exception | None = None


@dataclass
class Actor:
    """Each method of a real one, remotely: a Ref that the test may answer."""

    killed: bool = False
    calls: dict[str, Ref] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type("Method", (), {"remote": lambda *words: self.calls.setdefault(name, Ref())})


class ImaginedRay(ModuleType):
    """The functions of Ray that a seat and a pool use."""

    def __init__(self) -> None:
        super().__init__("ray")
        self.exceptions = ModuleType("ray.exceptions")
        self.exceptions.RayError = type("RayError", (Exception,), {})  # type: ignore[attr-defined]
        self.exceptions.RayTaskError = type("RayTaskError", (Exception,), {})  # type: ignore[attr-defined]
        self.actors: list[Actor] = []

    def remote(self, **options: object) -> Callable[[type], Any]:
        return lambda kind: type("Remote", (), {"remote": lambda *words: self.summon()})

    def summon(self) -> Actor:
        self.actors.append(Actor())
        return self.actors[-1]

    def wait(self, refs: list[Ref], num_returns: int = 1, timeout: float = 0.0) -> tuple[list[Ref], list[Ref]]:
        done = [ref for ref in refs if ref.answer is not None]
        return done, [ref for ref in refs if ref.answer is None]

    def get(self, ref: Ref) -> str:
        if isinstance(ref.answer, Exception):
            raise ref.answer
        assert ref.answer is not None
        return ref.answer

    def kill(self, actor: Actor, *, no_restart: bool) -> None:
        actor.killed = True

    def is_initialized(self) -> bool:
        return True


def imagine(monkeypatch: pytest.MonkeyPatch) -> tuple[ImaginedRay, ModuleType]:
    """The Ray, and the module of `RaySeat` over it; both forgotten at the end of the test."""
    ray = ImaginedRay()
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.exceptions", ray.exceptions)
    monkeypatch.delitem(sys.modules, "qsearch.cluster.ray_seat", raising=False)
    seats = importlib.import_module("qsearch.cluster.ray_seat")
    monkeypatch.setitem(sys.modules, "qsearch.cluster.ray_seat", seats)
    return ray, seats
