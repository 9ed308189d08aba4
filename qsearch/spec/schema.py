"""The published JSON Schemas (draft 2020-12) of the files that people write."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from qsearch.contracts.errors import UsageError
from qsearch.spec.words import meant_or_known

if TYPE_CHECKING:
    from pydantic.json_schema import GenerateJsonSchema

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def nouns() -> tuple[str, ...]:
    """What has a schema."""
    return ("spec", "target")


def json_schema(noun: str) -> dict[str, Any]:
    """The schema of a noun, made from the models that read the file, with every key's explanation.

    It says what a file may look like; what a schema cannot say (a file that must be there, a pin
    among the choices) is said by `validate` alone.

    Raises:
        UsageError: there is no schema of that noun.
    """
    from qsearch.spec.document import Document, SpecDocument, TargetDocument

    kinds: dict[str, type[Document]] = {"spec": SpecDocument, "target": TargetDocument}
    if noun not in kinds:
        raise UsageError(f'no schema of "{noun}"; {meant_or_known(noun, kinds)}')
    schema = kinds[noun].model_json_schema(mode="validation", schema_generator=_generator())
    return {"$schema": DRAFT, **schema, "title": _TITLES[noun]}


def schema_text(noun: str) -> str:
    """The schema as `configs/schema/` keeps it: indented, with a final newline.

    Raises:
        UsageError: there is no schema of that noun.
    """
    return json.dumps(json_schema(noun), indent=2, ensure_ascii=False) + "\n"


_TITLES = {"spec": "QSearch job spec", "target": "QSearch target"}


def _generator() -> type[GenerateJsonSchema]:
    from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
    from pydantic_core import core_schema

    class Plain(GenerateJsonSchema):
        """An absent key is not a null one, and a key's name needs no second title."""

        def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
            return self.generate_inner(schema["schema"])

        def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
            if schema.get("default", ...) is None:
                return self.generate_inner(schema["schema"])
            return super().default_schema(schema)

        def field_title_should_be_set(self, schema: Any) -> bool:
            return False

    return Plain
