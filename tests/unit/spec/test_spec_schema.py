"""The published schemas are the ones in configs/, and say what the loader says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from qsearch.contracts.errors import SpecError, UsageError
from qsearch.spec.loading import load_spec
from qsearch.spec.packaged import configs_folder
from qsearch.spec.schema import json_schema, nouns, schema_text


def validator(noun: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json_schema(noun))


def wrong(noun: str, text: str) -> list[str]:
    return [error.message for error in validator(noun).iter_errors(yaml.safe_load(text))]


@pytest.mark.parametrize("noun", nouns())
def test_is_a_schema_of_the_draft_it_names(noun: str) -> None:
    schema = json_schema(noun)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("noun", nouns())
def test_the_kept_file_is_the_published_schema(noun: str) -> None:
    kept = configs_folder() / "schema" / f"{noun}.json"
    again = f"write it again: qsearch schema {noun} > configs/schema/{noun}.json"
    assert kept.read_text(encoding="utf-8") == schema_text(noun), again


def test_accepts_every_packaged_config() -> None:
    for path in sorted(configs_folder().glob("*.yaml")):
        assert wrong("spec", path.read_text(encoding="utf-8")) == [], path
    for path in sorted((configs_folder() / "targets").glob("*.yaml")):
        assert wrong("target", path.read_text(encoding="utf-8")) == [], path


def test_every_key_is_explained() -> None:
    def unexplained(schema: dict[str, Any]) -> list[str]:
        return [key for key, field in schema.get("properties", {}).items() if not field.get("description")]

    schema = json_schema("spec")
    for name, inner in {"spec": schema, **schema["$defs"]}.items():
        left = unexplained(inner)
        # A key that only refers to a mapping is explained by that mapping.
        assert [key for key in left if "$ref" not in inner["properties"][key]] == [], name
        assert inner.get("description"), name


GOOD = "model: {path: m.onnx}\ntask: a:b\n"


@pytest.mark.parametrize(
    "added",
    [
        "nam: x\n",
        "search: {trails: 3}\n",
        "search: {time: 600}\n",
        "search: {trials: 0}\n",
        "space: {choices: [fp32, fp16]}\n",
        "space: {choices: [int8-static, ternary]}\n",
        "objectives: [drop]\n",
        "constraints: {drop: 1}\n",
        "constraints: {size: 60Mb}\n",
        "targets: [{runtime: tensorrt}]\n",
        "targets: []\n",
        "shapes: all\n",
        "shapes: {sequence: 3}\n",
        "metric: top0\n",
        "precision: final\n",
        "data: {path: s.npz}\n",
    ],
)
def test_refuses_what_the_loader_refuses(added: str, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"")
    (tmp_path / "s.npz").write_bytes(b"")
    path = tmp_path / "s.yaml"
    path.write_text(GOOD + added)
    assert wrong("spec", GOOD) == []
    assert wrong("spec", GOOD + added)
    with pytest.raises(SpecError):
        load_spec(path)


@pytest.mark.parametrize("added", ["shapes: data\n", "constraints: {drop: 0.5pt, latency: 200us}\n", "metric: x:y\n"])
def test_accepts_what_the_loader_accepts(added: str, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"")
    path = tmp_path / "s.yaml"
    path.write_text(GOOD + added)
    assert wrong("spec", GOOD + added) == []
    load_spec(path)


def test_an_unknown_noun_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r'no schema of "specs"; did you mean "spec"\?'):
        json_schema("specs")
