"""What `bench` understands before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from qsearch.contracts.errors import ModelError, NotFound, UsageError
from qsearch.contracts.measurement import Tier
from qsearch.service.benching import BenchAsked, deadline_s, resolve

SPEC = """name: mine
model: {path: a.onnx}
data: {path: x.npz}
metric: top1
shapes: {length: [4]}
targets: [cpu-1thread, mine]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("a.onnx", "b.onnx", "x.npz"):
        (tmp_path / name).write_bytes(b"not looked at")
    (tmp_path / "targets").mkdir()
    (tmp_path / "targets" / "mine.yaml").write_text("runtime: openvino\n")
    (tmp_path / "targets" / "eight.yaml").write_text("batch: 8\n")
    (tmp_path / "spec.yaml").write_text(SPEC)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _asked(*models: str, **changes: object) -> BenchAsked:
    words: dict[str, object] = {"data": "", "spec": None, "targets": (), "tier": Tier.SCREEN, "shapes": ()}
    return resolve(models, **{**words, **changes})  # type: ignore[arg-type]


def test_every_model_under_every_target_the_first_targets_arms_first(folder: Path) -> None:
    asked = _asked("a.onnx", "b.onnx", targets=("cpu-1thread", "mine"))
    arms = [(asked.models[model], target.name) for model, target in asked.arms]
    expected = [("a.onnx", "cpu-1thread"), ("b.onnx", "cpu-1thread"), ("a.onnx", "mine"), ("b.onnx", "mine")]
    assert arms == expected
    assert len(_asked("a.onnx", targets=("cpu-1thread", "mine")).arms) == 2


def test_a_spec_gives_samples_targets_and_shapes_and_flags_take_precedence(folder: Path) -> None:
    asked = _asked("a.onnx", spec=folder / "spec.yaml")
    assert [target.name for target in asked.targets] == ["cpu-1thread", "mine"]
    assert asked.shapes == {"length": (4,)}
    asked = _asked("a.onnx", "b.onnx", spec=folder / "spec.yaml", targets=("mine",), shapes=("length=8,16",))
    assert ([target.name for target in asked.targets], asked.shapes) == (["mine"], {"length": (8, 16)})
    with pytest.raises(UsageError, match="both name samples"):
        _asked("a.onnx", "b.onnx", data="x.npz", spec=folder / "spec.yaml")


def test_a_shape_that_is_given_again_adds_to_what_was_given(folder: Path) -> None:
    asked = _asked("a.onnx", "b.onnx", shapes=("length=32", "width=3,3", "length=128,32"))
    assert asked.shapes == {"length": (32, 128), "width": (3,)}


def test_what_compares_nothing_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="at least two model files"):
        _asked("a.onnx")
    with pytest.raises(UsageError, match="this-machine is the same target as cpu-1thread"):
        _asked("a.onnx", targets=("cpu-1thread", "this-machine"))
    with pytest.raises(UsageError, match="one batch size: cpu-1thread has 1, eight has 8"):
        _asked("a.onnx", targets=("cpu-1thread", "eight"))
    with pytest.raises(NotFound, match="mime"):
        _asked("a.onnx", targets=("mime", "cpu-1thread"))
    with pytest.raises(ModelError, match=r"no file .*c\.onnx"):
        _asked("a.onnx", "c.onnx")
    with pytest.raises(UsageError, match="'length' is no shape"):
        _asked("a.onnx", "b.onnx", shapes=("length",))


def test_more_arms_are_waited_for_longer() -> None:
    assert deadline_s(2, Tier.QUICK) < deadline_s(2, Tier.FINAL) < deadline_s(8, Tier.FINAL)
