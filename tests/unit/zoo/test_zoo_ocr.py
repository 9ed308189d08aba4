"""The OCR task: sizes, disjointness, determinism, its two metrics, and the real model on a few lines."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import sysconfig
from functools import partial
from importlib import metadata
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from qsearch.contracts.errors import TaskError
from qsearch.contracts.task import Feeds, Split, Task
from qsearch.measure.metrics import metric
from qsearch.zoo import ocr

SIZES = {"CALIBRATION": 6, "SEARCH": 20, "HELDOUT": 30}
FINGERPRINT = f"""
import functools, hashlib, pathlib, sys
from qsearch.zoo import ocr
ocr.text_lines = functools.partial(ocr.text_lines, library=pathlib.Path(sys.argv[1]))
ocr.CALIBRATION, ocr.SEARCH, ocr.HELDOUT = {tuple(SIZES.values())}
made = ocr.task()
digest = hashlib.sha256()
for split in (made.calibration, made.search, made.heldout):
    for sample, text in zip(split.samples, split.labels["text"].tolist(), strict=True):
        digest.update(sample["x"].tobytes() + text.encode())
print(digest.hexdigest())
"""
OUTPUT = "softmax_11.tmp_0"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One module with some hundred docstrings: reading all of the library takes seconds."""
    folder = tmp_path_factory.mktemp("library")
    shutil.copy(Path(sysconfig.get_path("stdlib"), "turtle.py"), folder)
    return folder


@pytest.fixture(scope="module")
def made(library: Path) -> Task:
    with pytest.MonkeyPatch.context() as patch:
        for name, size in SIZES.items():
            patch.setattr(ocr, name, size)
        patch.setattr(ocr, "text_lines", partial(ocr.text_lines, library=library))
        return ocr.task()


def splits(made: Task) -> list[Split]:
    return [made.calibration, made.search, made.heldout]


def test_sizes_shapes_and_values(made: Task) -> None:
    assert [len(split.samples) for split in splits(made)] == list(SIZES.values())
    for split in splits(made):
        widths = [sample["x"].shape[2] for sample in split.samples]
        assert widths == sorted(widths)
        assert set(widths) <= set(ocr.WIDTHS)
        for sample in split.samples:
            assert sample["x"].dtype == np.float32
            assert sample["x"].shape[:2] == (3, ocr.HEIGHT)
            assert -1 <= sample["x"].min() < sample["x"].max() <= 1
    # a line that does not fill its width ends in zeros, which no pixel of it is
    narrow = made.heldout.samples[0]["x"]
    assert not narrow[:, :, -8:].any()
    assert narrow[:, :, :8].all()


def test_the_sizes_that_count() -> None:
    assert (ocr.CALIBRATION, ocr.SEARCH, ocr.HELDOUT) == (96, 400, 1000)


def test_splits_share_no_text(made: Task) -> None:
    texts = [{"".join(text.split()).casefold() for text in split.labels["text"].tolist()} for split in splits(made)]
    assert len(set.union(*texts)) == sum(SIZES.values())


def test_another_process_makes_the_same_samples(made: Task, library: Path) -> None:
    digest = hashlib.sha256()
    for split in splits(made):
        for sample, text in zip(split.samples, split.labels["text"].tolist(), strict=True):
            digest.update(sample["x"].tobytes() + text.encode())
    command = [sys.executable, "-c", FINGERPRINT, str(library)]
    other = subprocess.run(command, env={"PYTHONHASHSEED": "7"}, capture_output=True, text=True, check=True, timeout=60)
    assert other.stdout.strip() == digest.hexdigest()


def test_both_tasks_have_the_same_samples_and_opposite_directions(made: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ocr, "_splits", lambda: splits(made))
    exact, cer = ocr.task(), ocr.cer_task()
    assert (exact.metric, exact.higher_is_better, cer.metric, cer.higher_is_better) == ("exact", True, "cer", False)
    assert (exact.score, cer.score) == ("exact", "cer")
    assert splits(exact) == splits(cer)


def test_the_model_reads_most_of_it(made: Task) -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(_model(), options)
    outputs = {OUTPUT: [session.run([OUTPUT], {"x": s["x"][None]})[0][0] for s in made.heldout.samples]}
    read = metric("exact").function(outputs, made.heldout.labels, None).outcomes
    wrong = metric("cer").function(outputs, made.heldout.labels, None)
    assert read.shape == (SIZES["HELDOUT"],)
    assert read.mean() >= 0.8
    assert wrong.weights is not None
    assert wrong.outcomes.sum() / wrong.weights.sum() < 0.05
    np.testing.assert_array_equal(wrong.outcomes == 0, read == 1)
    # one class for every character
    assert len(made.heldout.labels["charset"]) == outputs[OUTPUT][0].shape[1]


def test_forms_and_spaces_of_the_classes_do_not_count() -> None:
    assert [ocr.plain(character) for character in ("a", "（", " ", "", "℃")] == ["a", "(", "", "", "°C"]


def test_labels_have_no_spaces_and_every_split_the_same_characters(made: Task) -> None:
    for split in splits(made):
        assert not any(" " in text for text in split.labels["text"].tolist())
        np.testing.assert_array_equal(split.labels["charset"], made.search.labels["charset"])


def test_collate_fills_up_to_the_widest() -> None:
    samples: list[Feeds] = [{"x": np.ones((3, 48, width), np.float32)} for width in (320, 480)]
    batch = ocr.collate(samples)["x"]
    assert batch.shape == (2, 3, 48, 480)
    assert batch.dtype == np.float32
    assert batch[0, :, :, :320].all()
    assert not batch[0, :, :, 320:].any()


def test_missing_model_package_says_make_models(monkeypatch: pytest.MonkeyPatch) -> None:
    found = metadata.distribution

    def absent(name: str) -> metadata.Distribution:
        if name == "rapidocr-onnxruntime":
            raise metadata.PackageNotFoundError(name)
        return found(name)

    monkeypatch.setattr(metadata, "distribution", absent)
    with pytest.raises(TaskError, match="needs the package rapidocr-onnxruntime") as refused:
        ocr.task()
    assert refused.value.hint == "make models"


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "lacks rapidocr"), (b"\xff" * 40, "DecodeError"), ("without metadata", "KeyError"), ("folder", "IsADir")],
)
def test_a_model_that_is_not_the_recogniser(
    content: bytes | str | None, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "rapidocr_onnxruntime" / "models" / Path(_model()).name
    file.parent.mkdir(parents=True)
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content == "folder":
        file.mkdir()
    elif content:
        graph = onnx.helper.make_graph([], "nothing", [], [])
        onnx.save(onnx.helper.make_model(graph), file)
    info = tmp_path / "rapidocr_onnxruntime-1.dist-info"
    info.mkdir()
    shutil.copy(str(metadata.distribution("rapidocr-onnxruntime").locate_file(_METADATA)), info)
    monkeypatch.setattr(ocr, "latin_fonts", tuple)
    monkeypatch.setattr(metadata, "distribution", lambda name: metadata.PathDistribution(info))
    with pytest.raises(TaskError, match=told) as refused:
        ocr.task()
    assert refused.value.hint == "make models"


_METADATA = "rapidocr_onnxruntime-1.4.4.dist-info/METADATA"


def _model() -> str:
    package, name = "rapidocr-onnxruntime", "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx"
    return str(metadata.distribution(package).locate_file(name))
