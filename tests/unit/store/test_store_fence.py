from __future__ import annotations

import pytest

from qsearch.store.postgres_fence import objection

#: as the server writes it, shortened: a count over a view (20), with an operator and a cast to text
TREE = (
    "({QUERY :commandType 1 :rtable ({RTE :alias {ALIAS :aliasname a\\ :funcid\\ 9 :colnames <>} :rtekind 0 :relid 20}"
    " {RTE :rtekind 1 :subquery {QUERY :commandType 1}}) :targetList ({TARGETENTRY :expr {AGGREF :aggfnoid 2803"
    " :aggtype 20}} {FUNCEXPR :funcid 870 :funcresulttype 25"
    " :args ({OPEXPR :opno 96 :opfuncid 65 :opresulttype 16})})})"
)
NAMES = {2803: "count", 870: "lower", 9: "pg_sleep", 20: "int8", 25: "text", 16: "bool", 2205: "regclass"}


def refused(tree: str) -> str:
    return objection(tree, [20], [], lambda _, numbers: {n: NAMES[n] for n in numbers if n in NAMES})


def test_what_is_listed_passes() -> None:
    assert refused(TREE) == ""


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (":relid 20", ":relid 21", "reading anything else"),
        (":relid 20", "", "everything: this version"),
        (":relid 20", ":newname 20", "everything: this version"),
        (":funcid 870", ":function 870", "everything: this version"),
        (":aggfnoid 2803", "", "everything: this version"),
        (":opfuncid 65", "", "everything: this version"),
        (":rtekind 0", "", "everything: this version"),
        (":rtekind 1", ":rtekind 4", "a source that is no table"),
        (":funcid 870", ":funcid 9", r"the function pg_sleep\(\)"),
        (":funcid 870", ":funcid 17000", r"the function of the database\(\)"),
        (":aggfnoid 2803", ":aggfnoid 9", r"the function pg_sleep\(\)"),
        (":opno 96", ":opno 17000", "an operator of the database"),
        (":opfuncid 65", ":opfuncid 17000", "an operator of the database"),
        (":funcresulttype 25", ":funcresulttype 2205", "the type regclass"),
        (":funcresulttype 25", ":funcresulttype 17000", "the type of the database"),
        ("{OPEXPR", "{NEXTVALUEEXPR :seqid 1} {OPEXPR", "a part called nextvalueexpr"),
        ("{OPEXPR", "{SQLVALUEFUNCTION :op 10} {OPEXPR", "asking who asks"),
        ("{OPEXPR", "{ROWCOMPAREEXPR :opnos (o 96 17000)} {OPEXPR", "an operator of the database"),
    ],
)
def test_what_is_not_is_refused_by_name_and_so_is_what_cannot_be_read(old: str, new: str, words: str) -> None:
    assert old in TREE
    with pytest.raises(AssertionError, match=words):
        assert refused(TREE.replace(old, new)) == ""
