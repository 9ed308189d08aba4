"""The packaged examples: whole specs that run from a plain installation."""

from __future__ import annotations

from pathlib import Path

from qsearch.contracts.errors import InputError, UsageError
from qsearch.spec.packaged import configs_folder
from qsearch.spec.words import meant_or_known

#: first words of the comment that tells an editor where the schema is
SCHEMA_COMMENT = "# yaml-language-server: $schema="


def example_names() -> tuple[str, ...]:
    """What `init --example` can write, by name."""
    return tuple(sorted(file.stem for file in configs_folder().glob("*.yaml")))


def write_example(name: str, out: Path, *, overwrite: bool = False) -> Path:
    """Copy a packaged example to `out` (into it, when it is a folder) and return where it lies.

    Raises:
        UsageError: no such example, or the file is there already.
        InputError: the file cannot be written.
    """
    if name not in example_names():
        raise UsageError(f'unknown example "{name}"; {meant_or_known(name, example_names())}')
    text = (configs_folder() / f"{name}.yaml").read_text(encoding="utf-8")
    _, _, rest = text.partition("\n")
    return write_new(out / f"{name}.yaml" if out.is_dir() else out, f"{schema_comment()}\n{rest}", overwrite)


def schema_comment() -> str:
    """The comment with which editors check a spec against this installation's schema."""
    return f"{SCHEMA_COMMENT}{configs_folder() / 'schema' / 'spec.json'}"


def write_new(file: Path, text: str, overwrite: bool) -> Path:
    """Write a file that is not there yet.

    Raises:
        UsageError: it is there and was not to be overwritten; nothing was changed.
        InputError: it cannot be written.
    """
    try:
        with file.open("w" if overwrite else "x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise UsageError(f"{file} is there already", "Name another file, or remove it first.") from None
    except (OSError, UnicodeEncodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "a name in it is not UTF-8"
        raise InputError(f"cannot write {file}: {reason}") from error
    return file
