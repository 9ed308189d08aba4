"""A job under fire: start its driver, find its processes, shoot at them, see that nothing is left."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from qsearch.cluster.recording import RecordingPool
from qsearch.contracts.views import Overrides
from qsearch.service.driver import Driver
from qsearch.spec.loading import load_spec
from tests.acceptance.checker import Books
from tests.acceptance.conftest import QSEARCH, environment
from tests.unit.service.driver_world import World

SPEC = """\
name: fire
model: {{path: model.onnx}}
data: {{path: samples.npz}}
metric: top1
constraints: {{drop: 30%}}
targets: [this-machine]
search: {{trials: {trials}, seed: {seed}, sampler: {sampler}, finalists: 1}}
precision: quick
"""


class Site:
    """A project folder, and the database that its jobs are kept in. Use as a context manager.

    Args:
        project: folder with model.onnx, samples.npz and qsearch.toml.
        url: of the database; empty = SQLite in the project's folder.
    """

    def __init__(self, project: Path, url: str = "") -> None:
        self.project = project
        self.url = url or f"sqlite:///{project}/.qsearch/qsearch.db"
        self.environment = environment(project.parent) | {"QSEARCH_DATABASE_URL": self.url}
        #: what the last driver that was started has written
        self.log = project / "driver.log"
        self._started: list[subprocess.Popen[bytes]] = []

    def write_spec(self, trials: int, *, sampler: str = "random", seed: int = 0) -> None:
        """`fire.yaml`, for the fastest measurements there are."""
        (self.project / "fire.yaml").write_text(SPEC.format(trials=trials, sampler=sampler, seed=seed))

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """A command that goes on while the test does, in a session of its own."""
        with self.log.open("wb") as log:
            driver = subprocess.Popen(
                [QSEARCH, *words],
                cwd=self.project,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._started.append(driver)
        return driver

    def run(self, *words: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """A command to its end."""
        return subprocess.run(
            [QSEARCH, *words],
            cwd=self.project,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    @contextlib.contextmanager
    def books(self) -> Iterator[Books]:
        """The newest job's rows."""
        with Books(self.url) as books:
            yield books

    def processes(self, part: str = "") -> list[int]:
        """Live processes of this site whose command line holds `part`, by the home that all of them inherited."""
        mark = f"HOME={self.project.parent}".encode()
        found = []
        for process in Path("/proc").iterdir():
            # what has ended in between is no process of ours
            with contextlib.suppress(OSError):
                if process.name.isdigit() and mark in (process / "environ").read_bytes().split(b"\0"):
                    words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    if part in words and int(process.name) != os.getpid():
                        found.append(int(process.name))
        return sorted(found)

    def __enter__(self) -> Site:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Nobody outlives a test, also one that failed."""
        while left := self.processes():
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
        for driver in self._started:
            driver.wait()

    def assert_nothing_is_left(self) -> None:
        """Every process of this site ends within seconds."""
        wait_for(lambda: not self.processes(), "somebody is still running", 20.0)


def wait_for(met: Callable[[], object], what: str, patience_s: float = 120.0, pause_s: float = 0.02) -> None:
    """Until it is so; the test fails when it takes longer than it may."""
    until = time.monotonic() + patience_s
    while not met():
        if time.monotonic() > until:
            pytest.fail(f"after {patience_s:g} s: {what}")
        time.sleep(pause_s)


def record_made_up(site: Site, file: Path) -> None:
    """A recording of the site's spec whose numbers nobody measured: lawful, different, and always the same.

    What `--pool replay:FILE` then asks for is what an unkilled job of the same spec has asked for.
    """
    spec, source = load_spec(site.project / "fire.yaml", Overrides())
    world = World(file.parent)
    job = world.ledger.create_job(spec, source, "me")
    with world.place() as place:
        pool = RecordingPool(place.pool, file)
        try:
            Driver(replace(place, pool=pool), lambda progress: None).drive(job)
        finally:
            pool.close()


def write_deep_classifier(folder: Path, *, depth: int = 3, width: int = 64, classes: int = 5) -> None:
    """`depth` hidden layers and a head, 256 candidates for a depth of 3; samples labelled by its own answers."""
    draw = np.random.default_rng(11)
    nodes, weights, last = [], [], "x"
    kernels = [draw.standard_normal((width, width)) / np.sqrt(width / 2) for _ in range(depth)]
    kernels.append(draw.standard_normal((width, classes)) / np.sqrt(width))
    for layer, kernel in enumerate(kernels):
        weights.append(numpy_helper.from_array(kernel.astype(np.float32), f"w{layer}"))
        product = "logits" if layer == depth else f"h{layer}"
        nodes.append(helper.make_node("MatMul", [last, f"w{layer}"], [product], name=f"layer{layer}"))
        if layer < depth:
            last = f"r{layer}"
            nodes.append(helper.make_node("Relu", [product], [last], name=f"relu{layer}"))
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", width])
    got = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", classes])
    graph = helper.make_graph(nodes, "deep", [given], [got], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "model.onnx")
    samples = draw.standard_normal((240, width)).astype(np.float32)
    answers = samples
    for layer, kernel in enumerate(kernels):
        answers = answers @ kernel.astype(np.float32)
        answers = np.maximum(answers, 0) if layer < depth else answers
    noisy = samples + 0.1 * draw.standard_normal(samples.shape).astype(np.float32)
    np.savez(folder / "samples.npz", x=noisy.astype(np.float32), labels=answers.argmax(1))
