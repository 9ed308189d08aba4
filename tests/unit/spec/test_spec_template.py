"""`init`: what is written runs, and everything that could be set stands in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from qsearch.contracts.choices import Choice
from qsearch.contracts.errors import InputError, SpecError, UsageError
from qsearch.contracts.job import DropLimit
from qsearch.contracts.layer import Inspection, Layer, TensorInfo
from qsearch.contracts.measurement import Tier
from qsearch.spec.document import (
    ConstraintsDocument,
    DataDocument,
    Document,
    ModelDocument,
    SearchDocument,
    SpaceDocument,
    SpecDocument,
    TargetDocument,
)
from qsearch.spec.loading import load_spec
from qsearch.spec.template import example_names, write_example, write_spec


def layer(name: str, op: str, *choices: Choice) -> Layer:
    sizes = {Choice.FP32: 4_000_000, Choice.INT8_STATIC: 1_000_000, Choice.INT8_DYNAMIC: 1_000_000}
    return Layer(
        id=name,
        op=op,
        nodes=(name,),
        weight_shape=(1000, 1000),
        parameters=1_000_000,
        macs=1_000_000,
        choices=choices,
        bytes={choice: sizes[choice] for choice in choices},
    )


INSPECTION = Inspection(
    digest="0" * 64,
    opset=17,
    inputs=(
        TensorInfo(name="input_ids", dtype="int64", shape=("batch", "sequence")),
        TensorInfo(name="pixels", dtype="float32", shape=("batch", 3, None, 224)),
    ),
    outputs=(),
    layers=(
        layer("/encoder/MatMul", "MatMul", Choice.FP32, Choice.INT8_STATIC, Choice.INT8_DYNAMIC),
        layer("/encoder/MatMul_1", "MatMul", Choice.FP32, Choice.INT8_STATIC),
        layer("/stem/Conv", "Conv", Choice.FP32, Choice.INT8_STATIC),
    ),
    operators={"MatMul": 2, "Conv": 1},
    other_bytes=1_000,
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "models" / "my net.onnx"
    path.parent.mkdir()
    path.write_bytes(b"not opened here")
    (tmp_path / "samples.npz").write_bytes(b"not opened here")
    return path


def test_with_data_it_runs_as_it_is(tmp_path: Path, model: Path) -> None:
    data = tmp_path / "samples.npz"
    out = write_spec(tmp_path / "job.yaml", model=model, data=data, metric="top1", inspection=INSPECTION)
    spec, text = load_spec(out)
    assert out == tmp_path / "job.yaml"
    assert spec.name == "my-net"
    assert spec.model.path == str(model)
    assert spec.data is not None
    assert spec.data.path == str(data)
    assert 'path: "models/my net.onnx"' in text
    assert spec.metric == "top1"
    assert spec.constraints.drop == DropLimit(amount=0.01, relative=True)
    assert (spec.search.trials, spec.search.time_s) == (40, 600)
    assert spec.precision is Tier.SCREEN
    assert spec.space.choices == (Choice.FP32, Choice.INT8_STATIC, Choice.INT8_DYNAMIC)
    assert "TO FILL IN" not in text


def test_says_what_the_model_holds(tmp_path: Path, model: Path) -> None:
    text = write_spec(tmp_path / "j.yaml", model=model, data=None, metric="", inspection=INSPECTION).read_text()
    assert "#   input_ids int64 [batch, sequence]\n" in text
    assert "#   pixels float32 [batch, 3, ?, 224]\n" in text
    assert "# Layers that can be quantized: 2 MatMul, 1 Conv (3,000,000 weights)\n" in text
    assert '#   numpy.savez("samples.npz", input_ids=..., pixels=..., labels=...)\n' in text
    assert "# shapes: {sequence: [32, 128]}\n" in text


def test_without_data_it_says_what_to_fill_in_and_validate_says_the_same(tmp_path: Path, model: Path) -> None:
    out = write_spec(tmp_path, model=model, data=None, metric="", inspection=INSPECTION)
    assert out == tmp_path / "my-net.yaml"
    text = out.read_text()
    assert "# TO FILL IN: samples." in text.splitlines()[3]
    with pytest.raises(SpecError) as caught:
        load_spec(out)
    assert len(caught.value.problems) == 1
    message = "data is missing: give `data: {path: samples.npz}`, or `task: module:function`"
    assert caught.value.problems[0].message == message
    out.write_text(re.sub(r"^# (data:|  path: samples|  splits:)", r"\1", text, flags=re.MULTILINE))
    spec, _ = load_spec(out)
    assert spec.data is not None
    assert spec.metric == ""


def test_every_key_stands_in_it(tmp_path: Path, model: Path) -> None:
    text = write_spec(tmp_path / "j.yaml", model=model, data=None, metric="", inspection=INSPECTION).read_text()
    documents: tuple[type[Document], ...] = (
        SpecDocument,
        ModelDocument,
        DataDocument,
        ConstraintsDocument,
        SpaceDocument,
        SearchDocument,
        TargetDocument,
    )
    for document in documents:
        for key in set(document.model_fields) - {"options"}:
            assert re.search(rf"^[ #]*(.*[{{ ])?{key}:", text, re.MULTILINE), f"{document.__name__}.{key}"


def test_every_commented_key_is_valid_when_its_comment_is_removed(tmp_path: Path, model: Path) -> None:
    out = write_spec(tmp_path / "j.yaml", model=model, data=None, metric="", inspection=INSPECTION)
    text = re.sub(r"^( *)# ((?:  )?[a-z]+: )", r"\1\2", out.read_text(), flags=re.MULTILINE)
    text = re.sub(r"^# data:", "data:", text, flags=re.MULTILINE)
    text = re.sub(r"^( *)((package|file|torch|task|yaml-language-server):)", r"\1# \2", text, flags=re.MULTILINE)
    out.write_text(text)
    spec, _ = load_spec(out)
    assert spec.constraints.latency_ms == 5
    assert spec.shapes == {"sequence": (32, 128)}
    assert spec.space.pin == {"/encoder/MatMul": Choice.FP32}


def test_names_from_a_model_cannot_end_a_comment(tmp_path: Path, model: Path) -> None:
    evil = Inspection(
        digest="",
        opset=17,
        inputs=(TensorInfo(name="x\ntask: evil:run", dtype="float32", shape=("n\nm", "a\nb")),),
        outputs=(),
        layers=(layer("l\npin: 1", "Conv\nx: 1", Choice.FP32, Choice.INT8_STATIC),),
        operators={},
        other_bytes=0,
    )
    out = write_spec(tmp_path / "j.yaml", model=model, data=tmp_path / "samples.npz", metric="", inspection=evil)
    assert load_spec(out)[0].task == ""


@pytest.mark.parametrize("name", ["no", "on", "a: b", "ünïcödé", 'quo"te', "# x", "7", "back\\slash"])
def test_any_file_name_is_read_back(tmp_path: Path, name: str) -> None:
    model = tmp_path / name
    model.write_bytes(b"")
    data = tmp_path / f"{name}.npz"
    data.write_bytes(b"")
    out = write_spec(tmp_path / "j.yaml", model=model, data=data, metric="", inspection=INSPECTION)
    spec, _ = load_spec(out)
    assert spec.model.path == str(model)
    assert spec.data is not None
    assert spec.data.path == str(data)


def test_never_overwrites_unless_told(tmp_path: Path, model: Path) -> None:
    out = tmp_path / "j.yaml"
    out.write_text("mine\n")
    with pytest.raises(UsageError, match="is there already"):
        write_spec(out, model=model, data=None, metric="", inspection=INSPECTION)
    with pytest.raises(UsageError, match="is there already"):
        write_example("minilm", out)
    assert out.read_text() == "mine\n"
    write_spec(out, model=model, data=None, metric="", inspection=INSPECTION, overwrite=True)
    assert out.read_text() != "mine\n"


def test_an_unknown_metric_is_refused_before_anything_is_written(tmp_path: Path, model: Path) -> None:
    with pytest.raises(UsageError, match=r'--metric: unknown metric "topp1"; did you mean "top1"\?'):
        write_spec(tmp_path / "j.yaml", model=model, data=None, metric="topp1", inspection=INSPECTION)
    assert not (tmp_path / "j.yaml").exists()


def test_a_folder_that_is_not_there(tmp_path: Path, model: Path) -> None:
    with pytest.raises(InputError, match=r"cannot write .*No such file or directory"):
        write_spec(tmp_path / "no" / "j.yaml", model=model, data=None, metric="", inspection=INSPECTION)


def test_examples_are_copied_with_this_installations_schema(tmp_path: Path) -> None:
    assert "minilm" in example_names()
    for name in example_names():
        out = write_example(name, tmp_path)
        assert out == tmp_path / f"{name}.yaml"
        first = out.read_text().splitlines()[0]
        assert Path(first.removeprefix("# yaml-language-server: $schema=")).is_file()
        assert yaml.safe_load(out.read_text())["name"] == name


def test_an_unknown_example_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r'unknown example "minilmm"; did you mean "minilm"\?'):
        write_example("minilmm", tmp_path)
