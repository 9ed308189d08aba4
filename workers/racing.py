"""Scoring a candidate in growing parts of the search split, until it is done or surely hopeless."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from qsearch.contracts.errors import TaskError
from qsearch.contracts.measurement import Accuracy
from qsearch.contracts.racing import Racing
from qsearch.contracts.target import Target
from qsearch.contracts.task import Array, Scores
from qsearch.contracts.work import Materialized
from qsearch.measure.accuracy import part_of
from qsearch.measure.outputs import CHARSET
from qsearch.measure.racing import Look, is_hopeless, looks
from qsearch.measure.samples import read_samples, read_sizes, write_samples
from workers.predicting import Predictor, predictor
from workers.scoring import LONGEST_S, accuracy, is_builtin, score_split
from workers.sitting import Predicted
from workers.slot_lock import machine_lock


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """What every candidate of a job runs over."""

    #: the search split at the target's batch size
    samples: Path
    #: fp32 on it
    reference: Accuracy
    #: fp32's outputs on it
    reference_outputs: Path
    materialized: Materialized
    #: of the job; the user's scoring code is there
    folder: str
    target: Target
    racing: Racing
    #: how long the user's scoring code may take for one look, seconds
    patience_s: float = LONGEST_S

    def race(self, model: Path, scratch: Path, deadline_s: float) -> tuple[Accuracy, Predicted]:
        """The candidate's score on all samples, or on those it was stopped after.

        NOTE: the child and its loaded model stay for all looks, and samples are scored once: a part's outcomes
        are added to those before it, which `per_sample` promises to be the same as scoring all at once.

        Raises:
            TaskError: the scoring does not keep that promise: it gave another number of outcomes.
            WorkFailed: as `workers.sitting.predict`.
        """
        sizes = np.array(read_sizes(self.samples))
        units = np.repeat(np.arange(sizes.size), sizes)
        if units.size != len(self.reference.outcomes):
            raise self.broken(len(self.reference.outcomes), units.size)
        run = _Run(track=self, units=units, sizes=sizes, scratch=scratch)
        with predictor(model, self.target, self.samples, deadline_s=deadline_s, lock=machine_lock()) as child:
            for number, look in enumerate(looks(sizes.size, self.racing)):
                run.see(look, child, number)
                if not look.last and is_hopeless(self.reference, run.outcomes, run.samples, units, self.racing):
                    break
        return run.accuracy(), run.predicted[0]

    def broken(self, found: int, samples: int) -> TaskError:
        """What a scoring that gave another number of outcomes is told."""
        return TaskError(
            f"{self.materialized.metric}: per_sample promises one outcome per sample, found {found} for {samples}",
            "Return one outcome for each sample, or leave per_sample out of the task.",
        )


@dataclass(slots=True, kw_only=True)
class _Run:
    """One candidate under way."""

    track: Track
    #: batch of each sample of the split, and the number of samples in each batch
    units: Array
    sizes: Array
    scratch: Path
    scores: list[Scores] = field(default_factory=list)
    seen: list[Array] = field(default_factory=list)
    predicted: list[Predicted] = field(default_factory=list)

    @property
    def outcomes(self) -> Array:
        return np.concatenate([np.asarray(part.outcomes, np.float64) for part in self.scores])

    @property
    def samples(self) -> Array:
        return np.concatenate(self.seen)

    def see(self, look: Look, child: Predictor, number: int) -> None:
        """Run and score the batches of a look."""
        out = self.scratch / f"look-{number}.npz"
        self.predicted.append(child.predict(look.batches, out))
        starts = np.cumsum(self.sizes) - self.sizes
        rows = np.concatenate([np.arange(starts[b], starts[b] + self.sizes[b]) for b in look.batches])
        scores = self._score(look, rows, out, number)
        out.unlink()
        if len(scores.outcomes) != rows.size:
            raise self.track.broken(len(scores.outcomes), rows.size)
        self.scores.append(scores)
        self.seen.append(rows)

    def accuracy(self) -> Accuracy:
        """In the order of the split, against fp32 on the same samples."""
        track, order = self.track, np.argsort(self.samples)
        samples, weights = self.samples[order], [part.weights for part in self.scores]
        whole = Scores(
            outcomes=self.outcomes[order],
            weights=None if weights[0] is None else np.concatenate([np.asarray(w) for w in weights])[order],
            aggregate=self.scores[0].aggregate,
        )
        complete = samples.size == self.units.size
        reference = track.reference if complete else part_of(track.reference, samples)
        found = accuracy(whole, track.materialized, "search", reference)
        return replace(
            found,
            of=self.units.size,
            looks=tuple(np.cumsum([part.size for part in self.seen]).tolist()),
            samples=() if complete else tuple(samples.tolist()),
        )

    def _score(self, look: Look, rows: Array, outputs: Path, number: int) -> Scores:
        track = self.track
        part = self.scratch / f"look-{number}-samples.npz"
        theirs: Path | None = None
        file = read_samples(track.samples, batches=look.batches)
        labels = {name: self._cut(name, label, rows) for name, label in file.labels.items()}
        write_samples(part, file.feeds, labels, file.sizes)
        if is_builtin(track.materialized.score):
            theirs = self.scratch / f"look-{number}-fp32.npz"
            fp32 = read_samples(track.reference_outputs, batches=look.batches)
            write_samples(theirs, fp32.feeds, {}, fp32.sizes)
        where = (track.folder, part, outputs, theirs, self.scratch)
        scores = score_split(track.materialized, *where, patience_s=track.patience_s)
        for path in (part, theirs, self.scratch / f"{outputs.stem}-scores.npz"):
            if path is not None:
                path.unlink(missing_ok=True)
        return scores

    def _cut(self, name: str, label: Array, rows: Array) -> Array:
        """A label of the whole split, such as the characters of classes, has no rows of samples."""
        return label[rows] if name != CHARSET and label.shape[:1] == self.units.shape else label
