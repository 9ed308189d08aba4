"""The table of extensions."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

from qsearch.zoo.extensions import CONTENT_OF

CONFIG = "magika/models/standard_v3_3/config.min.json"


def test_the_model_knows_every_type() -> None:
    config = Path(str(metadata.distribution("magika").locate_file(CONFIG)))
    classes = json.loads(config.read_text(encoding="utf-8"))["target_labels_space"]
    assert set(CONTENT_OF.values()) <= set(classes)


def test_extensions_are_lower_case_and_not_ambiguous() -> None:
    assert all(extension == extension.lower().strip(".") for extension in CONTENT_OF)
    assert not {"h", "pl", "ts", "cs", "m", "el", "txt", "crt", "pem", "db", "conf", "cfg"} & set(CONTENT_OF)
