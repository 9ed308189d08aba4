"""The types of a document's fields: how a word or a quantity is read, and its JSON Schema.

NOTE: quantities and words are read by plain validators, not by pydantic's own types, because the
same parsers serve the command line's flags and the messages must be the same in both.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field, PlainValidator, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from qsearch.contracts.choices import Choice
from qsearch.contracts.errors import UsageError
from qsearch.contracts.job import DropLimit
from qsearch.contracts.measurement import Tier
from qsearch.spec import units, words
from qsearch.spec.naming import NAME_EXAMPLE, NAME_PATTERN

#: type of a custom error whose message stands as it is
SAID = "said"
#: type of a custom error that says only what was expected; what was found is looked up in the file
EXPECTED = "expected"


def said(message: str) -> PydanticCustomError:
    """An error whose message is complete."""
    return PydanticCustomError(SAID, "{message}", {"message": message})


def expected(what: str) -> PydanticCustomError:
    """An error that becomes `expected WHAT, found ...`."""
    return PydanticCustomError(EXPECTED, "{what}", {"what": what})


def _quantity(parse: Callable[[str], Any], example: str) -> PlainValidator:
    def read(value: Any) -> Any:
        if not isinstance(value, str):
            raise expected(example)
        try:
            return parse(value)
        except UsageError as error:
            raise said(error.message) from error

    return PlainValidator(read)


def _word(vocabulary: words.Vocabulary, kind: Callable[[str], Any] = str) -> PlainValidator:
    def read(value: Any) -> Any:
        if not isinstance(value, str):
            raise expected(f"a {vocabulary.noun}: {', '.join(vocabulary.available)}")
        objection = vocabulary.objection(value)
        if objection:
            raise said(objection)
        return kind(value)

    return PlainValidator(read)


def _shaped(pattern: str, what: str) -> PlainValidator:
    def read(value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value, re.ASCII):
            raise expected(what)
        return value

    return PlainValidator(read)


def _metric(value: Any) -> str:
    if not isinstance(value, str) or (":" in value and not re.fullmatch(_FUNCTION, value, re.ASCII)):
        raise expected(METRIC_EXAMPLE)
    objection = "" if ":" in value else words.METRICS.objection(value)
    if objection:
        raise said(objection)
    return value


def _tally(value: Any) -> float:
    if value == "never":
        return math.inf
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= units.MAX_COUNT:
        raise expected(f"a whole number from 0 to {units.MAX_COUNT}, or never")
    return float(value)


def _enum(vocabulary: words.Vocabulary) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "enum": list(vocabulary.available)})


def _pattern(pattern: str, *examples: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": list(examples)})


_FUNCTION = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"

FUNCTION_EXAMPLE = "module:function, such as my_task:task"
METRIC_EXAMPLE = "a metric such as top1 or cosine-to-fp32, or module:function"

Text = Annotated[str, StringConstraints(min_length=1)]
Count = Annotated[int, Field(ge=1, le=units.MAX_COUNT)]
Trials = Annotated[int, Field(ge=1, le=units.MAX_TRIALS)]
Name = Annotated[str, _shaped(NAME_PATTERN, f"a name of {NAME_EXAMPLE}"), _pattern(NAME_PATTERN, "minilm")]
Function = Annotated[str, _shaped(_FUNCTION, FUNCTION_EXAMPLE), _pattern(_FUNCTION, "my_task:task")]
Metric = Annotated[
    str,
    PlainValidator(_metric),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": list(words.METRICS.available)},
                {"type": "string", "pattern": f"^{words.METRICS.pattern}$", "examples": ["top3", "retrieval@20"]},
                {"type": "string", "pattern": _FUNCTION},
            ]
        }
    ),
]

Size = Annotated[int, _quantity(units.parse_size, units.SIZE_EXAMPLE), _pattern(units.SIZE_PATTERN, "60MiB")]
Seconds = Annotated[float, _quantity(units.parse_time, units.TIME_EXAMPLE), _pattern(units.TIME_PATTERN, "10m")]
Latency = Annotated[
    float, _quantity(units.parse_latency, units.LATENCY_EXAMPLE), _pattern(units.LATENCY_PATTERN, "5ms")
]
Share = Annotated[
    float, _quantity(units.parse_share, units.SHARE_EXAMPLE), _pattern(units.SHARE_PATTERN, "3%", "never")
]
Tally = Annotated[
    float,
    PlainValidator(_tally),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0, "maximum": units.MAX_COUNT}, {"const": "never"}]}),
]
Drop = Annotated[
    DropLimit, _quantity(units.parse_drop, units.DROP_EXAMPLE), _pattern(units.DROP_PATTERN, "1%", "0.5pt")
]

LayerChoice = Annotated[Choice, _word(words.CHOICES, Choice), _enum(words.CHOICES)]
Objective = Annotated[str, _word(words.OBJECTIVES), _enum(words.OBJECTIVES)]
Sampler = Annotated[str, _word(words.SAMPLERS), _enum(words.SAMPLERS)]
Precision = Annotated[Tier, _word(words.PRECISIONS, Tier), _enum(words.PRECISIONS)]
RuntimeName = Annotated[str, _word(words.RUNTIMES), _enum(words.RUNTIMES)]
Provider = Annotated[str, _word(words.PROVIDERS), _enum(words.PROVIDERS)]
Scenario = Annotated[str, _word(words.SCENARIOS), _enum(words.SCENARIOS)]
Splits = Annotated[str, _word(words.SPLITS), _enum(words.SPLITS)]


def _option(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise expected("text or a whole number")
    return str(value)


#: a session option's value; runtimes take text, and a number needs no quotes
Option = Annotated[str, PlainValidator(_option), WithJsonSchema({"type": ["string", "integer"]})]
