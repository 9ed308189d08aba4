"""What a statement would touch, told by PostgreSQL itself.

A view is made of the statement and rolled back. The server has then parsed and resolved it without
running anything, and its tree names by number every relation, function, operator and type. What is
not on these lists is refused, kinds of nodes that nobody thought of included.

NOTE: a role that may only read the views is no fence by itself. `set_config('role', …)` is a plain
function that anybody may call, so a SELECT leaves the role, and `query_to_xml` then runs any text
under the login's own rights. A list of functions is needed either way; with it no role is, and no
administrator.

NOTE: the text of a tree is no documented format; 15, 16 and 18 write these fields alike. Where one
should be missing the numbers no longer add up, and every query is refused: see `_count`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

#: functions that compute from their arguments alone and whose result is not much longer than those
_FUNCTIONS = """
    abs acos age any_value array_agg array_length array_to_string asin atan atan2 avg bool bool_and bool_or bpchar btrim
    cardinality cbrt ceil ceiling char_length character_length chr concat concat_ws corr cos count covar_pop covar_samp
    cume_dist date date_part date_trunc degrees dense_rank div every exp extract first_value float4 float8 floor
    initcap int2 int4 int8 interval isfinite json_agg json_array_elements json_array_elements_text json_array_length
    json_each json_each_text json_extract_path json_extract_path_text json_object_agg json_object_keys json_typeof
    jsonb_agg jsonb_array_elements jsonb_array_elements_text jsonb_array_length jsonb_each jsonb_each_text
    jsonb_extract_path jsonb_extract_path_text jsonb_object_agg jsonb_object_keys jsonb_typeof lag last_value lead left
    length like_escape ln log log10 lower ltrim max md5 min mod mode now nth_value ntile numeric percent_rank
    percentile_cont percentile_disc position pow power radians rank regr_intercept regr_r2 regr_slope replace reverse
    right round row_number rtrim sign similar_to_escape sin split_part sqrt starts_with stddev stddev_pop stddev_samp
    string_agg strpos substr substring sum tan text time timestamp timestamptz timezone to_char to_timestamp translate
    trunc unnest upper var_pop var_samp varchar variance width_bucket
"""
FUNCTIONS = frozenset(_FUNCTIONS.split())
#: numbers, text, times, JSON, and arrays of some; none that looks a name up, as regclass does
_TYPES = """
    anyarray anycompatible anycompatiblearray anyelement anynonarray bool bpchar bytea char date float4 float8 int2 int4
    int8 internal interval json jsonb name numeric record text time timestamp timestamptz timetz unknown uuid varchar
    _bool _float4 _float8 _int2 _int4 _int8 _json _jsonb _numeric _record _text _varchar any cstring void
"""
TYPES = frozenset(_TYPES.split())
_NODES = """
    AGGREF ALIAS ARRAY ARRAYCOERCEEXPR ARRAYEXPR BOOLEANTEST BOOLEXPR CASE CASEEXPR CASETESTEXPR CASEWHEN COALESCE
    COALESCEEXPR COERCEVIAIO COLLATE COLLATEEXPR COMMONTABLEEXPR CONST CTECYCLECLAUSE CTESEARCHCLAUSE DISTINCTEXPR
    FIELDSELECT FROMEXPR FUNCEXPR GROUPINGFUNC GROUPINGSET JOINEXPR MINMAX MINMAXEXPR NAMEDARGEXPR NULLIFEXPR NULLTEST
    OPEXPR PARAM QUERY RANGETBLENTRY RANGETBLFUNCTION RANGETBLREF RELABELTYPE ROW ROWCOMPARE ROWCOMPAREEXPR ROWEXPR RTE
    RTEPERMISSIONINFO SCALARARRAYOPEXPR SETOPERATIONSTMT SORTGROUPCLAUSE SQLVALUEFUNCTION SUBLINK SUBSCRIPTINGREF
    TARGETENTRY VAR WHEN WINDOWCLAUSE WINDOWFUNC
"""
NODES = frozenset(_NODES.split())
#: the field that names what each of these calls or reads
_FIELDS = {
    "FUNCEXPR": "funcid",
    "AGGREF": "aggfnoid",
    "WINDOWFUNC": "winfnoid",
    "OPEXPR": "opfuncid",
    "DISTINCTEXPR": "opfuncid",
    "NULLIFEXPR": "opfuncid",
    "SCALARARRAYOPEXPR": "opfuncid",
}
#: objects below are the server's own
_FIRST_FOREIGN = 16_384
#: of SQLVALUEFUNCTION: the date and time ones; the others tell who is asking and where
_LAST_TIME_OP = 8
#: of a range table: SELECT reads a relation, a subquery, a join, a function, VALUES, a CTE, nothing, a grouping
_SOURCES = frozenset({0, 1, 2, 3, 5, 6, 8, 9})

#: (catalog, its column of names) and numbers → number and name of each that is there, in pg_catalog only for functions
Names = Callable[[str, Iterable[int]], dict[int, str]]


def objection(tree: str, relations: Iterable[int], row_types: Iterable[int], names: Names) -> str:
    """What a statement may not do, in words; empty when there is nothing.

    Args:
        tree: `pg_rewrite.ev_action` of a view made of it.
        relations: numbers of what may be read.
        row_types: numbers of their row types.
        names: looks up functions ("proname") and types ("typname") of the server's own by number.
    """
    nodes = re.findall(r"(?:^|[ (])\{([A-Z_]+)", tree)
    strange = sorted(set(nodes) - NODES)
    if strange:
        return f"a part called {strange[0].lower()}"
    if not _count(tree, nodes):
        return "everything: this version of PostgreSQL describes statements in a way that is not known here"
    return (
        _relations(tree, set(relations))
        or _functions(tree, names)
        or _operators(tree)
        or _types(tree, set(row_types), names)
    )


def _count(tree: str, nodes: list[str]) -> bool:
    """Whether every call names what it calls."""
    for field in set(_FIELDS.values()):
        calls = sum(_FIELDS.get(node) == field for node in nodes)
        if len(_numbers(tree, field)) != calls:
            return False
    tables = sum(node in ("RTE", "RANGETBLENTRY") for node in nodes)
    kinds = _numbers(tree, "rtekind")
    return len(kinds) == tables and len(_numbers(tree, "relid")) >= kinds.count(0)


def _relations(tree: str, allowed: set[int]) -> str:
    if set(_numbers(tree, "rtekind")) - _SOURCES:
        return "a source that is no table"
    return "reading anything else" if set(_numbers(tree, "relid")) - allowed - {0} else ""


def _functions(tree: str, names: Names) -> str:
    called = {number for field in ("funcid", "aggfnoid", "winfnoid") for number in _numbers(tree, field)}
    found = names("proname", called)
    for number in sorted(called):
        if found.get(number) not in FUNCTIONS or number >= _FIRST_FOREIGN:
            return f"the function {found.get(number, 'of the database')}()"
    asked = re.findall(r"\{SQLVALUEFUNCTION :\w+ (\d+)", tree)
    return "asking who asks" if any(int(op) > _LAST_TIME_OP for op in asked) else ""


def _operators(tree: str) -> str:
    fields = ("opno", "opfuncid", "eqop", "sortop", "startInRangeFunc", "endInRangeFunc")
    used = [number for field in fields for number in _numbers(tree, field)]
    for listed in re.findall(r" :opnos \(o([ \d]*)\)", tree):
        used += [int(number) for number in listed.split()]
    return "an operator of the database" if any(number >= _FIRST_FOREIGN for number in used) else ""


def _types(tree: str, row_types: set[int], names: Names) -> str:
    # Enumerations are called types too (jointype, nulltesttype); their values lie below the first type's number.
    used = {int(number) for number in re.findall(r" :\w*type (\d+)", tree)}
    used = {number for number in used if number >= 16} - row_types
    found = names("typname", used)
    for number in sorted(used):
        if found.get(number) not in TYPES:
            return f"the type {found.get(number, 'of the database')}"
    return ""


def _numbers(tree: str, field: str) -> list[int]:
    return [int(number) for number in re.findall(rf" :{field} (\d+)", tree)]
