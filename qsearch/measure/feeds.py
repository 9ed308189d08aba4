"""What a model expects of its feeds, said before or after a runtime refuses them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from qsearch.contracts.errors import DataError
from qsearch.contracts.task import Feeds


def check_feeds(inputs: Mapping[str, tuple[str, tuple[int | str | None, ...]]], feeds: Feeds) -> None:
    """Refuse feeds that do not fit.

    Args:
        inputs: name → (numpy dtype name, shape); None and names stand for any size.
        feeds: arrays by input name, batch axis included.

    Raises:
        DataError: says what was expected and what was found.
    """
    missing, unknown = [n for n in inputs if n not in feeds], [n for n in feeds if n not in inputs]
    if missing or unknown:
        found = f"expected the inputs {', '.join(inputs)}; found {', '.join(feeds) or 'none'}"
        raise DataError(f"{found} ({_wrong('missing', missing)}{_wrong('unknown', unknown)})".replace(" )", ")"))
    symbols: dict[str, tuple[str, int]] = {}
    for name, (dtype, shape) in inputs.items():
        array = np.asarray(feeds[name])
        if array.dtype.name != dtype and not (dtype == "str" and array.dtype.kind in "UO"):
            raise DataError(f"input {name}: expected {dtype}, found {array.dtype.name}")
        if len(shape) != array.ndim or any(
            isinstance(d, int) and d != s for d, s in zip(shape, array.shape, strict=True)
        ):
            raise DataError(f"input {name}: expected shape {_text(shape)}, found {_text(array.shape)}")
        for symbol, size in zip(shape, array.shape, strict=True):
            if isinstance(symbol, str) and symbols.setdefault(symbol, (name, size))[1] != size:
                other, there = symbols[symbol]
                raise DataError(f"input {name}: expected {symbol} = {there} as in {other}, found {size}")


def _wrong(what: str, names: list[str]) -> str:
    return f"{what}: {', '.join(names)} " if names else ""


def _text(shape: tuple[int | str | None, ...]) -> str:
    return "[" + ", ".join("?" if dim is None else str(dim) for dim in shape) + "]"
