"""The two torch models: real weights, in torch and as exported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch

from qsearch.contracts.errors import TaskError
from qsearch.quantize.torch_export import export_torch
from qsearch.zoo import efficientnet, minilm_l6, stamps

needs_stamps = pytest.mark.skipif(not stamps.FOLDER.is_dir(), reason="apt-get install tuxpaint-stamps-default")


def test_texts_of_any_length_agree_and_padding_changes_nothing(tmp_path: Path) -> None:
    found = minilm_l6.model()
    exported = export_torch(found, tmp_path)
    session = ort.InferenceSession(str(tmp_path / "model.onnx"))
    assert sorted(exported.parameters.values())[:1] == ["layers.0.attention.dense.weight"]
    rng = np.random.default_rng(0)
    ids = rng.integers(1000, 20000, (3, 9))
    mask = np.ones_like(ids)
    (plain,) = session.run(None, {"input_ids": ids, "attention_mask": mask})
    with torch.no_grad():
        wanted = found.module(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()
    np.testing.assert_allclose(plain, wanted, atol=1e-5)
    padded = {"input_ids": np.pad(ids, ((0, 0), (0, 4))), "attention_mask": np.pad(mask, ((0, 0), (0, 4)))}
    np.testing.assert_allclose(session.run(None, padded)[0], wanted, atol=1e-5)


def test_sentences_that_mean_the_same_are_near() -> None:
    """Trained weights in the wrong place would put them anywhere."""
    from qsearch.zoo.minilm import _tokenizer

    tokenizer, module = _tokenizer(), minilm_l6.model().module.eval()
    vectors = []
    for text in ("a man is playing a guitar", "someone plays an instrument", "the stock market fell sharply"):
        ids = torch.tensor([tokenizer.encode(text).ids])
        with torch.no_grad():
            vectors.append(torch.nn.functional.normalize(module(ids, torch.ones_like(ids)))[0])
    assert float(vectors[0] @ vectors[1]) > 0.5
    assert float(vectors[0] @ vectors[2]) < 0.2


@needs_stamps
def test_pictures_are_recognised_as_often_as_published_weights_should() -> None:
    task, module = efficientnet.task(), efficientnet.model().module.eval()
    assert len(task.calibration.samples) == efficientnet.CALIBRATION
    some = range(0, len(task.search.samples), 4)
    with torch.no_grad():
        batch = torch.from_numpy(np.stack([task.search.samples[i]["x"] for i in some]))
        scores = list(module(batch).numpy())
    labels = {"classes": task.search.labels["classes"][list(some)]}
    assert 0.68 < float(efficientnet.score({"scores": scores}, labels).mean()) < 0.88


@needs_stamps
def test_splits_share_no_stamp_and_are_equal_each_time() -> None:
    first, second = efficientnet.task(), efficientnet.task()
    for split in ("calibration", "search", "heldout"):
        one, other = getattr(first, split), getattr(second, split)
        assert all(np.array_equal(a["x"], b["x"]) for a, b in zip(one.samples, other.samples, strict=True))
    seen = [{s["x"].tobytes() for s in getattr(first, name).samples} for name in ("calibration", "search", "heldout")]
    assert len(seen[0] | seen[1] | seen[2]) == sum(map(len, seen))


def test_pictures_that_are_not_there_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stamps, "FOLDER", tmp_path)
    with pytest.raises(TaskError, match="no pictures below") as caught:
        efficientnet.task()
    assert "tuxpaint-stamps-default" in caught.value.hint
