"""Pictures of text."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from qsearch.contracts.errors import TaskError
from qsearch.contracts.installing import install_hint
from qsearch.zoo import rendering
from qsearch.zoo.fonts import latin_fonts
from qsearch.zoo.rendering import render


def test_a_picture_is_wider_than_high_and_dark_on_light() -> None:
    for number, font in enumerate(latin_fonts()):
        picture = render("Some words, 12.50%", font, np.random.default_rng(number))
        assert picture.dtype == np.uint8
        height, width, colours = picture.shape
        assert colours == 3
        assert 10 <= height < width / 3
        grey = picture.mean(axis=2)
        assert np.percentile(grey, 5) < 130 < np.median(grey)


def test_equal_seeds_give_equal_pixels() -> None:
    font = latin_fonts()[0]
    first, again, other = (render("the same text", font, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or (first != other).any()


def test_a_long_line_is_turned_less() -> None:
    """Two degrees over 40 characters would lift one end by half a line's height."""
    font = latin_fonts()[0]
    heights = [render("m" * 40, font, np.random.default_rng(seed)).shape[0] for seed in range(20)]
    largest_font, margins = 1.2 * 40, 2 * 8
    assert max(heights) <= largest_font + margins + 10


def test_without_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    rendering._font.cache_clear()
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(TaskError, match="pillow, which is not installed") as refused:
        render("text", latin_fonts()[0], np.random.default_rng(1))
    assert refused.value.hint == install_hint("ocr")
