"""Perplexity of a language model: exp of the mean negative log-likelihood of the tokens that count."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from qsearch.contracts.errors import TaskError
from qsearch.contracts.task import Array, Scores
from qsearch.measure.outputs import Outputs, first, one_label

#: a label that says: not scored
IGNORED = -100


def perplexity(outputs: Outputs, labels: Mapping[str, Array], reference: Outputs | None) -> Scores:
    """exp(mean over all counted tokens of −log p(token)), natural logarithm; lower is better.

    The first output: logits or log-probabilities, float [length, vocabulary] per sample. labels["labels"] (or
    the only label): integers [n, length], the token each position must predict, −100 where nothing is
    scored. Nothing is shifted here: for a next-token model, the label of position t is token t + 1, and that of
    the last one −100. An outcome is the nats of a whole sample and its weight the tokens, so that samples are
    drawn again as a whole: the tokens of one text are not independent.
    """
    rows, label = first(outputs), one_label(labels, "the token of each position", "perplexity")
    if label.dtype.kind not in "iu" or label.ndim != 2 or len(label) != len(rows):
        raise TaskError(
            f"perplexity: expected integers [{len(rows)}, length], found {label.dtype} {list(label.shape)}",
            f"Fill shorter rows up with {IGNORED}.",
        )
    both = [_nats(row, wanted, index) for index, (row, wanted) in enumerate(zip(rows, label, strict=True))]
    nats, tokens = (np.array(part, np.float64) for part in zip(*both, strict=True))
    if not tokens.any():
        raise TaskError(f"perplexity: every label is {IGNORED}, there is no token to predict")
    return Scores(outcomes=nats, weights=tokens, aggregate="exp-ratio")


def _nats(row: Array, wanted: Array, index: int) -> tuple[float, int]:
    logits = np.asarray(row, np.float64)
    if logits.ndim != 2:
        raise TaskError(
            f"perplexity: expected [length, vocabulary] of each sample, found {list(logits.shape)} of sample {index}"
        )
    places = np.flatnonzero(wanted != IGNORED)
    if places.size and places[-1] >= len(logits):
        raise TaskError(f"perplexity: sample {index} has labels up to position {places[-1]}, outputs of {len(logits)}")
    tokens = wanted[places]
    if tokens.size and (tokens.min() < 0 or tokens.max() >= logits.shape[1]):
        raise TaskError(
            f"perplexity: sample {index} has token {tokens.min()} to {tokens.max()}; the vocabulary has "
            f"{logits.shape[1]}"
        )
    counted = logits[places]
    if np.isnan(counted).any():
        raise TaskError(f"perplexity: the output of sample {index} is not a number")
    if not tokens.size:
        return 0.0, 0
    highest = counted.max(axis=1, keepdims=True)
    normal = np.log(np.exp(counted - highest).sum(axis=1)) + highest[:, 0]
    return float((normal - counted[np.arange(tokens.size), tokens]).sum()), int(tokens.size)
