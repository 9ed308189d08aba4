"""The file type task: what is read of a file, which files, and the real model on this machine's own."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from collections import Counter
from importlib import metadata
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from magika import Magika
from magika.types.seekable import Seekable

from qsearch.contracts.errors import TaskError
from qsearch.contracts.task import Split, Task
from qsearch.zoo import magika
from qsearch.zoo.extensions import CONTENT_OF
from qsearch.zoo.files import ends, installed_roots, labelled_files

READING = magika.Reading(tokens=4, block=16, padding=256, shortest=2, classes=("a", "b"))
EXTENSIONS = ("py", "json", "md", "sh", "css", "xml", "sql", "lua", "go", "php")
FINGERPRINT = """
import hashlib, sys
from pathlib import Path
from qsearch.zoo.magika import file_task
made = file_task({"all": Path(sys.argv[1])})
digest = hashlib.sha256()
for split in (made.calibration, made.search, made.heldout):
    for sample in split.samples:
        digest.update(sample["bytes"].tobytes())
    digest.update(split.labels["labels"].tobytes())
print(digest.hexdigest())
"""


def splits(made: Task) -> list[Split]:
    return [made.calibration, made.search, made.heldout]


def test_tokens_of_a_hand_example() -> None:
    long = magika.features(b"  abcdef", b"uvwxyz\n ", READING)
    assert long is not None
    assert long.dtype == np.int32
    assert bytes(long.tolist()) == b"abcdwxyz"
    short = magika.features(b" ab\n", b" ab\n", READING)
    assert short is not None
    # the outside is stripped, the inside is not
    assert short.tolist() == [97, 98, 10, 256, 256, 32, 97, 98]
    assert magika.features(b" \n a", b" \n a", READING) is None


def test_tokens_are_those_of_the_package() -> None:
    reading = magika._reading()
    files = [file for label in _own_files().values() for file in label[:3]]
    assert len(files) > 30
    for file in files:
        with file.open("rb") as stream:
            theirs = Magika._extract_features_from_seekable(
                Seekable(stream), reading.tokens, 0, reading.tokens, reading.padding, reading.block, False
            )
        read = ends(file, reading.block)
        assert read is not None
        mine = magika.features(*read, reading)
        assert mine is not None
        assert mine.tolist() == theirs.beg + theirs.end


def test_real_files_of_this_python() -> None:
    """Disjoint splits, no two samples with a common end, no type that dominates, and a model that knows them."""
    made = magika.file_task({"python": installed_roots()["python"]})
    tokens = [sample["bytes"] for split in splits(made) for sample in split.samples]
    assert {(one.dtype.name, one.shape) for one in tokens} == {("int32", (2048,))}
    ends_of = [{half.tobytes() for half in np.split(one, 2) if len(np.unique(half)) > 1} for one in tokens]
    assert len(set.union(*ends_of)) == sum(len(halves) for halves in ends_of)
    labels = np.concatenate([split.labels["labels"] for split in splits(made)])
    assert len(labels) == len(tokens) >= magika.FEWEST_FILES
    assert max(Counter(labels.tolist()).values()) <= magika.MOST_OF_A_TYPE
    assert len(made.calibration.samples) < len(made.search.samples) < len(made.heldout.samples)
    session = onnxruntime.InferenceSession(_installed("magika/models/standard_v3_3/model.onnx"))
    chosen = made.heldout.samples[:100]
    answers = [int(session.run(None, {"bytes": sample["bytes"][None]})[0].argmax()) for sample in chosen]
    assert np.mean(np.array(answers) == made.heldout.labels["labels"][:100]) > 0.85


def test_another_process_makes_the_same_samples(tmp_path: Path) -> None:
    _fill(tmp_path, 40)
    outputs = [
        subprocess.run(
            [sys.executable, "-c", FINGERPRINT, str(tmp_path)],
            env={"PYTHONHASHSEED": hashing},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for hashing in ("1", "2")
    ]
    digest = hashlib.sha256()
    for split in splits(magika.file_task({"all": tmp_path})):
        for sample in split.samples:
            digest.update(sample["bytes"].tobytes())
        digest.update(split.labels["labels"].tobytes())
    assert {text.strip() for text in outputs} == {digest.hexdigest()}


def test_types_get_equal_shares_and_small_machines_smaller_splits(tmp_path: Path) -> None:
    _fill(tmp_path, 40)
    made = magika.file_task({"all": tmp_path})
    assert [len(split.samples) for split in splits(made)] == [40, 144, 216]
    labels = np.concatenate([split.labels["labels"] for split in splits(made)]).tolist()
    assert set(Counter(labels).values()) == {40}


def test_files_that_begin_or_end_alike_count_once(tmp_path: Path) -> None:
    _fill(tmp_path, 35)
    licence = "# a licence that everybody quotes\n" * 60
    for number in range(20):
        (tmp_path / f"begin{number}.lua").write_text(f"{licence}\n{number} " * 3 + str(number) * 3000)
        (tmp_path / f"end{number}.go").write_text(str(number) * 3000 + licence)
    made = magika.file_task({"all": tmp_path})
    labels = Counter(np.concatenate([split.labels["labels"] for split in splits(made)]).tolist())
    classes = magika._reading().classes
    assert labels[classes.index("lua")] == 36
    assert labels[classes.index("go")] == 36


def test_too_few_files_are_counted_in_the_refusal(tmp_path: Path) -> None:
    _fill(tmp_path, 5)
    with pytest.raises(TaskError, match=r"expected 300 files of 8 types .*, found 50 of 10 below .*go 5") as refused:
        magika.file_task({"all": tmp_path})
    assert str(tmp_path) in refused.value.message
    assert refused.value.hint
    with pytest.raises(TaskError, match=r"found 0 of 0 below .*: nothing"):
        magika.file_task({"all": tmp_path / "nowhere"})


def test_missing_package_says_make_models(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", absent)
    with pytest.raises(TaskError, match="needs the package magika") as refused:
        magika.task()
    assert refused.value.hint == "make models"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"mid_size": 512}, "more than two equal ends"),
        ({"target_labels_space": ["python"]}, "lacks the types asm"),
        ({"block_size": None}, "block_size"),
        (None, "No such file"),
    ],
)
def test_another_model_of_the_package(
    change: dict[str, object] | None, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = json.loads(Path(_installed("magika/models/standard_v3_3/config.min.json")).read_text(encoding="utf-8"))
    folder = tmp_path / "magika" / "models" / "standard_v3_3"
    folder.mkdir(parents=True)
    if change is not None:
        kept = {name: value for name, value in (config | change).items() if value is not None}
        (folder / "config.min.json").write_text(json.dumps(kept))
    info = tmp_path / "magika-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: magika\nVersion: 1\n")
    monkeypatch.setattr(metadata, "distribution", lambda name: metadata.PathDistribution(info))
    with pytest.raises(TaskError, match=told):
        magika.task()


def _own_files() -> dict[str, list[Path]]:
    return labelled_files({"python": installed_roots()["python"]}, CONTENT_OF, 2)


def _fill(root: Path, count: int) -> None:
    """Files of ten types with nothing in common."""
    rng = random.Random(4)
    for extension in EXTENSIONS:
        for number in range(count):
            text = " ".join(str(rng.random()) for _ in range(rng.choice((10, 400))))
            file = root / f"folder{number % 7}" / f"{number}.{extension}"
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
            file.chmod(0o644)


def _installed(name: str) -> str:
    return str(metadata.distribution("magika").locate_file(name))
