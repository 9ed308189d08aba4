"""Files and folders by what they were made from, kept by what they contain.

Layout: `ROOT/ab/abcdef…` by SHA-256, files and folders alike; `ROOT/.incoming` holds what
is not finished, `ROOT/.damaged` what no longer is what its name says. The row in the ledger is
written last, so that a row has its files, whatever was killed when.

NOTE: a full hash at every use would read the whole model for every trial. Instead each file's size
and time of change are noted beside the content when it is adopted; a file that differs in either is
hashed again.
"""

from __future__ import annotations

import errno
import json
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from qsearch.contracts.errors import DataError, InputError, NotFound, Unreachable
from qsearch.contracts.ledger import Artifact, Ledger
from qsearch.store.hashing import content_of, files_of, sync, sync_one

_INCOMING = ".incoming"
_DAMAGED = ".damaged"


class ArtifactStore:
    """Adopts and finds artifacts. Safe for several processes at once.

    Args:
        root: folder on a disk of this machine; made when absent.
        ledger: where the rows are.
    """

    def __init__(self, root: Path, ledger: Ledger) -> None:
        self._root = root
        self._ledger = ledger
        #: of the artifacts that were found damaged, newest last; what they were and why
        self.damaged: list[DataError] = []

    @property
    def scratch(self) -> Path:
        """A folder on the store's disk for work in progress: what is adopted from there is renamed, not copied."""
        return self._root.absolute() / "scratch"

    def adopt(self, kind: str, key: str, path: Path, facts: Mapping[str, object]) -> Artifact:
        """Move a file or folder into the store, durable when this returns.

        Args:
            kind: what it is: splits, prepared, export.
            key: hash of everything it was made from.
            path: what to move; it is gone from there afterwards. From another disk it is copied first.
            facts: the record that came with it, as data.

        Raises:
            InputError: no such path, or a link or device inside.
            Unreachable: the disk is full or may not be written.
        """
        if not path.exists():
            raise InputError(f"there is no {path} to adopt as {kind}")
        with _translated(f"{path} could not be moved into {self._root}"):
            sha256, size_bytes = content_of(path)
            self._take(path, sha256)
        artifact = Artifact(kind=kind, key=key, sha256=sha256, size_bytes=size_bytes, facts=facts)
        self._ledger.keep_artifact(artifact)
        return artifact

    def find(self, kind: str, key: str) -> tuple[Artifact, Path] | None:
        """The artifact made from this, when it is there and whole.

        A damaged or missing one is noted in `damaged`, put aside, and treated as absent: whoever asked
        makes it again.
        """
        artifact = self._ledger.artifact(kind, key)
        if artifact is None:
            return None
        try:
            return artifact, self.path(artifact)
        except (DataError, NotFound) as error:
            self.damaged.append(DataError(error.message, "It is made again."))
            self._put_aside(artifact.sha256)
            return None

    def path(self, artifact: Artifact) -> Path:
        """Where it is, checked.

        Raises:
            NotFound: the files are gone.
            DataError: the files are not what was adopted; the message says which artifact.
        """
        name = f"artifact {artifact.kind}/{artifact.key[:12]}"
        place = self._place(artifact.sha256)
        with _translated(f"{name} at {place} could not be read"):
            if not place.exists():
                raise NotFound(f"{name} is not at {place} any more", "It is made again by the next run.")
            seen = _stamp(place)
            if seen == self._noted(artifact.sha256):
                return place
            found, size_bytes = content_of(place)
            if (found, size_bytes) != (artifact.sha256, artifact.size_bytes):
                raise DataError(
                    f"{name} at {place} is damaged: expected {artifact.size_bytes} bytes with SHA-256 "
                    f"{artifact.sha256[:12]}…, found {size_bytes} bytes with {found[:12]}…",
                    "Delete it; the next run makes it again.",
                )
            self._note(artifact.sha256, seen)
            return place

    def _take(self, path: Path, sha256: str) -> None:
        place = self._place(sha256)
        if place.exists() and content_of(place)[0] == sha256:
            _remove(path)
            return
        self._put_aside(sha256)
        place.parent.mkdir(parents=True, exist_ok=True)
        incoming = self._fresh(_INCOMING)
        _move(path, incoming)
        sync(incoming)
        try:
            incoming.rename(place)
        except OSError:
            # Another process adopted the same content first; anything else is a failure.
            if not place.exists() or content_of(place)[0] != sha256:
                raise
            _remove(incoming)
        sync_one(place.parent)
        sync_one(self._root)
        self._note(sha256, _stamp(place))

    def _put_aside(self, sha256: str) -> None:
        place = self._place(sha256)
        if place.exists():
            place.rename(self._fresh(_DAMAGED))

    def _fresh(self, folder: str) -> Path:
        parent = self._root / folder
        parent.mkdir(parents=True, exist_ok=True)
        return parent / uuid.uuid4().hex

    def _place(self, sha256: str) -> Path:
        return self._root / sha256[:2] / sha256

    def _noted(self, sha256: str) -> object:
        try:
            return json.loads(self._place(sha256).with_suffix(".stamp").read_text())
        except (OSError, ValueError):
            return None

    def _note(self, sha256: str, stamp: object) -> None:
        # A stamp is an optimisation: without it the content is hashed. It need not survive a power cut.
        note, fresh = self._place(sha256).with_suffix(".stamp"), self._fresh(_INCOMING)
        fresh.write_text(json.dumps(stamp))
        fresh.replace(note)


def _stamp(place: Path) -> dict[str, list[int]]:
    """File → size and times of change. ctime too: a program can set mtime back, not ctime."""
    found = {str(file.relative_to(place)): file.stat() for file in files_of(place)}
    return {name: [seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns] for name, seen in found.items()}


def _move(path: Path, target: Path) -> None:
    """Rename; from another disk, copy and then delete."""
    try:
        path.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(path, target)
        _remove(path)


def _copy(path: Path, target: Path) -> None:
    if path.is_dir():
        shutil.copytree(path, target)
    else:
        shutil.copyfile(path, target)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


@contextmanager
def _translated(doing: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unreachable(
            f"{doing}: {error.strerror or error}", "See the disk's space and the folder's mode."
        ) from error
