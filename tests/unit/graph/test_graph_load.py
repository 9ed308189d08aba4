"""Reading model files: what is wrong is said, and nothing is loaded that is not asked for."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from qsearch.contracts.errors import ModelError
from qsearch.graph.inspection import digest_of_file
from qsearch.graph.load import external_files, load_model
from tests.unit.quantize.tiny_graphs import draw, model, node, save


def source() -> onnx.ModelProto:
    return model([node("MatMul", "xw", "y", "mm")], {"x": ["n", 64]}, "y", {"w": draw(64, 64)})


def external(folder: Path, **changes: str) -> Path:
    """The same model with its weight in `w.bin`; `changes` overwrite entries of the reference."""
    proto = source()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "w.bin").write_bytes(proto.graph.initializer[0].raw_data)
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entries = {"location": "w.bin", "offset": "0", "length": str(64 * 64 * 4)} | changes
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    return save(proto, folder)


def test_a_model_is_read_with_its_weights(tmp_path: Path) -> None:
    found = load_model(save(source(), tmp_path))
    np.testing.assert_array_equal(found.graph.initializers["w"].const_value.numpy(), draw(64, 64))


def test_external_weights_are_mapped_even_when_hard_linked(tmp_path: Path) -> None:
    path = external(tmp_path / "a")
    os.link(tmp_path / "a" / "w.bin", tmp_path / "other.bin")
    tensor = load_model(path).graph.initializers["w"].const_value
    assert isinstance(tensor, ir.ExternalTensor)
    np.testing.assert_array_equal(tensor.numpy(), draw(64, 64))
    assert external_files(path) == ((tmp_path / "a" / "w.bin").resolve(),)
    assert digest_of_file(path) != digest_of_file(save(source(), tmp_path / "b"))


def test_a_cache_of_symbolic_links_is_followed(tmp_path: Path) -> None:
    path = external(tmp_path / "blobs")
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot" / "model.onnx").symlink_to(path)
    (tmp_path / "snapshot" / "w.bin").symlink_to(tmp_path / "blobs" / "w.bin")
    assert load_model(tmp_path / "snapshot" / "model.onnx").graph.initializers["w"].const_value is not None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"this is text, not a model", "not an ONNX model"),
        (b"\x89PNG\r\n\x1a\n" + bytes(64), "not an ONNX model"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        load_model(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_truncated_files_are_refused(tmp_path: Path, share: float) -> None:
    path = save(source(), tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ModelError):
        load_model(path)


def test_missing_files_folders_and_empty_graphs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="found nothing"):
        load_model(tmp_path / "none.onnx")
    with pytest.raises(ModelError, match="found a folder"):
        load_model(tmp_path)
    with pytest.raises(ModelError, match="empty graph"):
        load_model(save(model([], {"x": [1]}, ["x"], {}), tmp_path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"location": "gone.bin"}, "missing"),
        ({"location": "../w.bin"}, "outside the model's folder"),
        ({"location": "/etc/hostname"}, "outside the model's folder"),
        ({"offset": "64"}, "too short"),
        ({"length": "12"}, "promises 12"),
    ],
)
def test_bad_external_data_is_refused(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load_model(external(tmp_path / "m", **changes))


def test_a_link_that_leaves_the_folder_is_refused(tmp_path: Path) -> None:
    path = external(tmp_path / "m")
    (tmp_path / "m" / "w.bin").rename(tmp_path / "secret.bin")
    (tmp_path / "m" / "w.bin").symlink_to(tmp_path / "secret.bin")
    with pytest.raises(ModelError, match="outside"):
        load_model(path)
