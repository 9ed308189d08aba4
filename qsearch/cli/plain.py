"""What is written where a terminal or a file knows ASCII only: `<=` for ≤, `x` for ×, `-` for –."""

from __future__ import annotations

import codecs

#: name of the error handler
PLAIN = "qsearch-plain"
#: sign → what stands for it; one letter each where a table or a plot counts on its width
_PLAIN = str.maketrans(
    {
        **dict.fromkeys("–—−─┄━", "-"),
        **dict.fromkeys("│┆┤├┃", "|"),
        **dict.fromkeys("└┴┼┌┬┐┘╭╮╰╯", "+"),
        **dict.fromkeys("‘’", "'"),
        **dict.fromkeys("“”", '"'),
        "×": "x",
        "µ": "u",
        "→": ">",
        "←": "<",
        "↑": "^",
        "↓": "v",
        "…": "...",
        "≤": "<=",
        "≥": ">=",
        "±": "+/-",
        "★": "*",
        "◆": "#",
        "▲": "^",
        "●": "o",
        "·": ".",
        "∞": "inf",
        "\N{NO-BREAK SPACE}": " ",
    }
)


def register() -> None:
    """Make `PLAIN` known; what has no plain form is escaped as Python's `backslashreplace` does."""
    codecs.register_error(PLAIN, _plain)


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        return codecs.backslashreplace_errors(error)
    text = error.object[error.start : error.end].translate(_PLAIN)
    return text.encode(error.encoding, "backslashreplace"), error.end
