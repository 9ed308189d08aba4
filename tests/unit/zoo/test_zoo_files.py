"""Finding labelled files in real folders."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qsearch.zoo.files import SMALLEST, ends, installed_roots, labelled_files

LABELS = {"py": "python", "pyi": "python", "gz": "gzip"}
ENOUGH = "x" * SMALLEST


def write(file: Path, text: str = ENOUGH, mode: int = 0o644) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(mode)
    return file


def found(root: Path, seed: int = 1) -> dict[str, list[str]]:
    files = labelled_files({"root": root}, LABELS, seed)
    return {label: [str(file.relative_to(root)) for file in paths] for label, paths in files.items()}


def test_extensions_name_the_label(tmp_path: Path) -> None:
    for name in ("a.py", "b.PYI", "c.tar.gz", "d.txt", "py", ".py", "e.py.bak"):
        write(tmp_path / name)
    files = {label: sorted(paths) for label, paths in found(tmp_path).items()}
    assert files == {"gzip": ["c.tar.gz"], "python": ["a.py", "b.PYI"]}


def test_what_is_left_out(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside" / "far.py")
    root = tmp_path / "root"
    kept = write(root / "kept.py")
    write(root / "small.py", "x" * (SMALLEST - 1))
    # the mode is looked at and not whether we may: a superuser may read everything
    write(root / "secret.py", mode=0o640)
    write(root / "__pycache__" / "made.py")
    write(root / "Cache".lower() / "made.py")
    (root / "link.py").symlink_to(outside)
    (root / "dangling.py").symlink_to(root / "nowhere.py")
    (root / "folder").symlink_to(outside.parent)
    (root / "folder.py").mkdir()
    os.mkfifo(root / "pipe.py", 0o644)
    os.link(kept, root / "twin.py")
    assert len(found(root)["python"]) == 1


def test_a_file_below_two_roots_is_found_once(tmp_path: Path) -> None:
    write(tmp_path / "inner" / "a.py")
    files = labelled_files({"outer": tmp_path, "inner": tmp_path / "inner"}, LABELS, 1)
    assert [file.name for file in files["python"]] == ["a.py"]


def test_order_is_that_of_seed_and_names(tmp_path: Path) -> None:
    names = [f"{folder}/{number}.py" for folder in "abc" for number in range(5)]
    for name in names:
        write(tmp_path / "one" / name)
    for name in reversed(names):
        write(tmp_path / "two" / name)
    first, again, other = found(tmp_path / "one"), found(tmp_path / "two"), found(tmp_path / "one", seed=2)
    assert first == again != other
    assert sorted(first["python"]) == sorted(other["python"]) == names


def test_one_of_each_folder_comes_first(tmp_path: Path) -> None:
    for number in range(30):
        write(tmp_path / "crowd" / f"{number}.py")
    write(tmp_path / "alone" / "a.py")
    write(tmp_path / "pair" / "a.py")
    write(tmp_path / "pair" / "b.py")
    folders = [Path(name).parts[0] for name in found(tmp_path)["python"]]
    assert set(folders[:3]) == {"crowd", "alone", "pair"}
    assert set(folders[3:5]) == {"crowd", "pair"}
    assert set(folders[5:]) == {"crowd"}


@pytest.mark.parametrize(("size", "expected"), [(4, (b"0123", b"6789")), (10, (b"0123456789",) * 2), (99, None)])
def test_ends_of_a_file(size: int, expected: tuple[bytes, bytes] | None, tmp_path: Path) -> None:
    file = write(tmp_path / "a", "0123456789")
    assert ends(file, size) == (expected or (b"0123456789", b"0123456789"))


def test_ends_of_what_is_no_file_any_more(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(write(tmp_path / "a"))
    assert ends(tmp_path / "gone", 4) is None
    assert ends(tmp_path / "link", 4) is None
    assert ends(tmp_path, 4) is None
    os.mkfifo(tmp_path / "pipe")
    assert ends(tmp_path / "pipe", 4) is None


def test_roots_are_there() -> None:
    roots = installed_roots()
    assert {"python", "packages"} <= set(roots)
    assert all(root.is_dir() for root in roots.values())
