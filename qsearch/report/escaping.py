"""Text of unknown origin made safe for a terminal, a spreadsheet, a Markdown table, a JSON document.

Names of jobs, layers and files come from users and models. A terminal obeys control sequences, a
spreadsheet obeys cells that look like formulas, and text that changes writing direction can make one
line read as another.
"""

from __future__ import annotations

import re

#: C0 and C1 controls, DEL, line and paragraph separators, direction marks, and lone surrogates
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_UNSAFE_MULTILINE = re.compile(_UNSAFE.pattern.replace("\x00-\x1f", "\x00-\x08\x0b-\x1f"))
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def visible(text: str) -> str:
    """One line for a terminal: what would move the cursor or hide is written as `\\x1b` or `\\u202e`."""
    return _UNSAFE.sub(_code, text)


def visible_lines(text: str) -> str:
    """The same for text of several lines: newlines and tabs stay."""
    return _UNSAFE_MULTILINE.sub(_code, text)


def csv_cell(text: str) -> str:
    """A cell that no spreadsheet takes for a formula: a leading `=`, `+`, `-`, `@`, tab or return gets a quote.

    Source: OWASP, CSV injection.
    """
    guarded = f"'{text}" if text.startswith(_FORMULA) else text
    return visible_lines(guarded)


def markdown_cell(text: str) -> str:
    """A cell that stays one cell: pipes, backslashes and angle brackets are escaped, newlines become spaces."""
    flat = visible(text.replace("\n", " "))
    return flat.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace(">", "&gt;")


def json_text(text: str) -> str:
    """A JSON text whose strings cannot steer a terminal either; it stays the same JSON value.

    NOTE: done on the finished text and not by `ensure_ascii`, which would make every `×` and every
    name outside ASCII unreadable. Below U+0020 only layout newlines can be left after `json.dumps`.
    """
    return _UNSAFE_MULTILINE.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def _code(match: re.Match[str]) -> str:
    point = ord(match.group())
    return f"\\x{point:02x}" if point < 0x100 else f"\\u{point:04x}"
