from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from qsearch.contracts.errors import DataError, InputError, NotFound, Unreachable
from qsearch.store.artifacts import ArtifactStore
from qsearch.store.hashing import content_of
from qsearch.store.memory import MemoryLedger
from qsearch.store.opening import open_ledger


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts", MemoryLedger())


def folder(at: Path, text: str = "weights") -> Path:
    (at / "deep").mkdir(parents=True)
    (at / "model.onnx").write_text(text)
    (at / "deep" / "tensors.bin").write_bytes(b"\0" * 1000)
    return at


class TestAdopting:
    def test_a_file_moves_in_and_is_found(self, store: ArtifactStore, tmp_path: Path) -> None:
        (tmp_path / "model.onnx").write_text("weights")
        kept = store.adopt("export", "key", tmp_path / "model.onnx", {"opset": 17})
        assert (kept.kind, kept.key, kept.size_bytes, kept.facts) == ("export", "key", 7, {"opset": 17})
        assert not (tmp_path / "model.onnx").exists()
        found = store.find("export", "key")
        assert found is not None
        assert found[0] == kept
        assert found[1].read_text() == "weights"
        assert store.path(kept) == found[1]
        assert kept.sha256 in found[1].name
        assert (store.find("export", "other"), store.find("splits", "key")) == (None, None)

    def test_a_folder_moves_in_whole(self, store: ArtifactStore, tmp_path: Path) -> None:
        kept = store.adopt("prepared", "key", folder(tmp_path / "scratch"), {})
        place = store.path(kept)
        assert (place / "model.onnx").read_text() == "weights"
        assert (place / "deep" / "tensors.bin").stat().st_size == 1000
        assert kept.size_bytes == 1007
        assert not (tmp_path / "scratch").exists()

    def test_equal_content_is_kept_once(self, store: ArtifactStore, tmp_path: Path) -> None:
        first = store.adopt("prepared", "a", folder(tmp_path / "one"), {})
        second = store.adopt("prepared", "b", folder(tmp_path / "two"), {})
        assert first.sha256 == second.sha256
        assert store.path(first) == store.path(second)
        assert not (tmp_path / "two").exists()

    def test_names_count_as_content(self, tmp_path: Path) -> None:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            (tmp_path / name / name).write_text("same")
        assert content_of(tmp_path / "one") != content_of(tmp_path / "two")

    def test_from_another_disk_it_is_copied(
        self, store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rename = Path.rename

        def refuse(self: Path, target: Path) -> Path:
            if "scratch" in self.parts:
                raise OSError(errno.EXDEV, "Invalid cross-device link")
            return rename(self, target)

        monkeypatch.setattr(Path, "rename", refuse)
        kept = store.adopt("prepared", "key", folder(tmp_path / "scratch" / "it"), {})
        (tmp_path / "scratch" / "one").write_text("file")
        single = store.adopt("export", "key", tmp_path / "scratch" / "one", {})
        assert store.path(kept).is_dir()
        assert store.path(single).read_text() == "file"
        assert list((tmp_path / "scratch").iterdir()) == []

    def test_what_is_not_there_or_not_plain(self, store: ArtifactStore, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="to adopt as export"):
            store.adopt("export", "key", tmp_path / "none", {})
        folder(tmp_path / "scratch")
        (tmp_path / "scratch" / "link").symlink_to("/etc/passwd")
        with pytest.raises(InputError, match="link or a device"):
            store.adopt("prepared", "key", tmp_path / "scratch", {})
        (tmp_path / "pointer").symlink_to(tmp_path / "scratch" / "deep")
        with pytest.raises(InputError, match="link or a device"):
            store.adopt("prepared", "key", tmp_path / "pointer", {})
        assert store.find("prepared", "key") is None

    def test_a_disk_that_refuses_is_named_and_leaves_no_row(
        self, store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(_descriptor: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(Unreachable, match="No space left"):
            store.adopt("prepared", "key", folder(tmp_path / "scratch"), {})
        monkeypatch.undo()
        assert store.find("prepared", "key") is None
        kept = store.adopt("prepared", "key", folder(tmp_path / "again"), {})
        assert store.path(kept).is_dir()

    def test_everything_is_on_the_disk_before_the_row(
        self, store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        done: list[str] = []
        fsync, rename, keep = os.fsync, Path.rename, MemoryLedger.keep_artifact
        monkeypatch.setattr(os, "fsync", lambda d: (done.append("fsync"), fsync(d)))
        monkeypatch.setattr(Path, "rename", lambda self, to: (done.append("rename"), rename(self, to))[1])
        monkeypatch.setattr(
            MemoryLedger, "keep_artifact", lambda self, artifact: (done.append("row"), keep(self, artifact))[1]
        )
        store.adopt("prepared", "key", folder(tmp_path / "scratch"), {})
        # into .incoming; two files and two folders; into place; two folders that hold the name; the row
        assert done == ["rename", *["fsync"] * 4, "rename", "fsync", "fsync", "row"]

    def test_processes_that_adopt_the_same_at_once_agree(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path}/ledger.db"
        open_ledger(url).close()
        with multiprocessing.get_context("spawn").Pool(3) as pool:
            found = pool.starmap(_adopt, [(url, str(tmp_path), i) for i in range(6)])
        assert len(set(found)) == 1
        assert list((tmp_path / "artifacts" / ".incoming").iterdir()) == []


class TestDamage:
    @pytest.mark.parametrize("how", ["truncated", "edited", "removed", "added"])
    def test_a_damaged_one_is_named_and_made_again(self, store: ArtifactStore, tmp_path: Path, how: str) -> None:
        kept = store.adopt("prepared", "key", folder(tmp_path / "scratch"), {})
        place = store.path(kept)
        if how == "truncated":
            os.truncate(place / "deep" / "tensors.bin", 10)
        elif how == "edited":
            (place / "model.onnx").write_text("weightz")
        elif how == "removed":
            (place / "model.onnx").unlink()
        else:
            (place / "more").write_text("")
        with pytest.raises(DataError, match=r"artifact prepared/key at .* is damaged: expected 1007 bytes"):
            store.path(kept)
        assert store.find("prepared", "key") is None
        assert "is damaged" in store.damaged[0].message
        again = store.adopt("prepared", "key", folder(tmp_path / "scratch"), {})
        assert again == kept
        assert (store.path(again) / "model.onnx").read_text() == "weights"

    def test_an_edit_that_sets_the_time_back_is_found(self, store: ArtifactStore, tmp_path: Path) -> None:
        kept = store.adopt("prepared", "key", folder(tmp_path / "scratch"), {})
        model = store.path(kept) / "model.onnx"
        before = model.stat()
        model.write_text("weightz")
        os.utime(model, ns=(before.st_atime_ns, before.st_mtime_ns))
        with pytest.raises(DataError, match="damaged"):
            store.path(kept)

    def test_touched_but_whole_is_fine(self, store: ArtifactStore, tmp_path: Path) -> None:
        kept = store.adopt("prepared", "key", folder(tmp_path / "scratch"), {})
        os.utime(store.path(kept) / "model.onnx")
        assert store.find("prepared", "key") is not None
        assert store.damaged == []

    def test_an_untouched_one_is_not_read_again(
        self, store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kept = store.adopt("prepared", "key", folder(tmp_path / "scratch"), {})

        def read(_path: Path) -> tuple[str, int]:
            raise AssertionError("hashed")

        monkeypatch.setattr("qsearch.store.artifacts.content_of", read)
        assert store.path(kept).is_dir()

    def test_files_that_are_gone(self, store: ArtifactStore, tmp_path: Path) -> None:
        (tmp_path / "x").write_text("x")
        kept = store.adopt("export", "key", tmp_path / "x", {})
        store.path(kept).unlink()
        with pytest.raises(NotFound, match="is not at"):
            store.path(kept)
        assert store.find("export", "key") is None

    @pytest.mark.parametrize("after", [1, 2, 3, 4, 5, 6, 7])
    def test_killed_at_any_sync_a_row_has_its_files(self, tmp_path: Path, after: int) -> None:
        url = f"sqlite:///{tmp_path}/ledger.db"
        open_ledger(url).close()
        code = subprocess.run([sys.executable, "-c", _ADOPTER, url, str(tmp_path), str(after)], check=False).returncode
        assert code in (0, -signal.SIGKILL)
        ledger = open_ledger(url)
        store = ArtifactStore(tmp_path / "artifacts", ledger)
        found = store.find("prepared", "key")
        assert store.damaged == []
        assert (found is not None) == (code == 0)
        folder(tmp_path / "again")
        kept = store.adopt("prepared", "key", tmp_path / "again", {})
        assert (store.path(kept) / "model.onnx").read_text() == "weights"
        ledger.close()


_ADOPTER = """
import os, signal, sys
from pathlib import Path
from qsearch.store.artifacts import ArtifactStore
from qsearch.store.opening import open_ledger
url, root, after = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
ledger = open_ledger(url)
(root / "scratch" / "deep").mkdir(parents=True)
(root / "scratch" / "model.onnx").write_text("weights")
(root / "scratch" / "deep" / "tensors.bin").write_bytes(b"\\0" * 1000)
count, fsync = 0, os.fsync
def counted(descriptor):
    global count
    count += 1
    if count == after:
        os.kill(os.getpid(), signal.SIGKILL)
    fsync(descriptor)
os.fsync = counted
ArtifactStore(root / "artifacts", ledger).adopt("prepared", "key", root / "scratch", {})
"""


def _adopt(url: str, root: str, number: int) -> str:
    ledger = open_ledger(url)
    store = ArtifactStore(Path(root) / "artifacts", ledger)
    kept = store.adopt("prepared", f"key{number}", folder(Path(root) / f"scratch{number}"), {})
    found = store.find("prepared", f"key{number}")
    ledger.close()
    assert found is not None
    return kept.sha256
