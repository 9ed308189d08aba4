"""What a job found out about its layers: sensitivity per choice, the choices taken, what really ran."""

from __future__ import annotations

from dataclasses import asdict

from qsearch.contracts.choices import Choice
from qsearch.contracts.codec import to_data
from qsearch.contracts.verdict import Interval
from qsearch.contracts.views import ChoiceEffect, GraphSeen, LayerSeen, LayersView
from qsearch.report.answer import Answer, Line, Mark, Row, Table
from qsearch.report.numbers import NOTHING, count, large, percent
from qsearch.report.operators import operator_counts
from qsearch.report.trials import short

_UNTOLD = "not told apart"


def layers_answer(view: LayersView) -> Answer:
    """The answer of `layers`; its rows are one per layer and choice."""
    rows = tuple(_row(view, seen, effect) for seen in view.layers for effect in seen.effects)
    document = {
        "job": view.job,
        "target": view.target,
        "metric": view.metric,
        "trials": view.trials,
        "samples": view.samples,
        "layers": [_layer_document(seen) for seen in view.layers],
        "graphs": [_graph_document(graph) for graph in view.graphs],
        "notes": list(view.notes),
    }
    tables = [_layers_table(view)]
    if _effects(view):
        tables.append(_effects_table(view))
    if view.graphs:
        tables.append(_graphs_table(view))
    return Answer(noun="layers", row_noun="layer-effect", document=document, rows=rows, tables=tuple(tables))


def _row(view: LayersView, seen: LayerSeen, effect: ChoiceEffect) -> Row:
    found = effect.drop
    return {
        "job": view.job,
        "target": view.target,
        "layer": seen.layer.id,
        "op": seen.layer.op,
        "parameters": seen.layer.parameters,
        "macs": seen.layer.macs,
        "choice": effect.choice.value,
        "trials": effect.trials,
        "drop_search": found.value if found else None,
        "drop_search_low": found.low if found else None,
        "drop_search_high": found.high if found else None,
        "told_apart": found is not None,
        "front": effect.front,
        "pick": seen.pick is effect.choice,
    }


def _layer_document(seen: LayerSeen) -> dict[str, object]:
    layer = seen.layer
    return {
        "layer": layer.id,
        "op": layer.op,
        "nodes": list(layer.nodes),
        "parameters": layer.parameters,
        "macs": layer.macs,
        "pick": seen.pick.value if seen.pick else None,
        "front": _front(seen),
        "effects": {
            effect.choice.value: {
                "trials": effect.trials,
                "told_apart": effect.drop is not None,
                "drop_search": to_data(effect.drop),
            }
            for effect in seen.effects
        },
    }


def _graph_document(graph: GraphSeen) -> dict[str, object]:
    return {
        "trial": graph.trial,
        "pick": graph.pick,
        "front": graph.front,
        "uniform": graph.uniform or None,
        **asdict(operator_counts(graph.operators)),
        "operators": dict(graph.operators),
    }


def _front(seen: LayerSeen) -> dict[str, int]:
    """Choice → members of the front that give it to the layer; choices nobody gives are left out."""
    given = {Choice.FP32: seen.front_fp32, **{effect.choice: effect.front for effect in seen.effects}}
    return {choice.value: number for choice, number in given.items() if number}


def _layers_table(view: LayersView) -> Table:
    columns = ("layer", "op", "parameters", "MACs", "pick", "on the front")
    lines = [
        (
            seen.layer.id,
            seen.layer.op,
            large(seen.layer.parameters),
            large(seen.layer.macs) if seen.layer.macs else NOTHING,
            seen.pick.value if seen.pick else NOTHING,
            ", ".join(f"{choice} {number}" for choice, number in _front(seen).items()) or NOTHING,
        )
        for seen in view.layers
    ]
    return Table(
        columns=columns,
        lines=tuple(Line(cells=cells) for cells in lines),
        title=f"layers of {view.job} on {view.target}",
        notes=() if _effects(view) else view.notes,
        right=frozenset({"parameters", "MACs"}),
        spare=("MACs", "parameters", "op"),
    )


def _effects_table(view: LayersView) -> Table:
    choices = [c for c in Choice if any(effect.choice is c for effect in _effects(view))]
    told = any(effect.drop for effect in _effects(view))
    lines = []
    for seen in view.layers:
        by_choice = {effect.choice: effect for effect in seen.effects}
        lines.append(Line(cells=(seen.layer.id, *(_effect(by_choice.get(choice), told) for choice in choices))))
    columns = ("layer", *(choice.value for choice in choices))
    return Table(
        columns=columns,
        lines=tuple(lines),
        title=f"{view.metric} drop that a choice adds, search n={view.samples}",
        notes=(*_reading(view, told), *view.notes),
        right=frozenset(columns[1:]),
    )


def _effects(view: LayersView) -> list[ChoiceEffect]:
    """Of every layer; empty before a trial has finished."""
    return [effect for seen in view.layers for effect in seen.effects] if view.trials else []


def _effect(effect: ChoiceEffect | None, any_told: bool) -> str:
    if effect is None or not effect.trials:
        return NOTHING
    if not any_told:
        return count(effect.trials, "trial")
    return f"{_drop(effect.drop) if effect.drop else _UNTOLD} ({effect.trials})"


def _drop(found: Interval) -> str:
    # two decimals where one would write 0.0 % [0.0, 0.0]
    digits = 1 if max(abs(found.low), abs(found.high)) >= 0.002 else 2
    low, high = (percent(end, digits).removesuffix(" %") for end in (found.low, found.high))
    return f"{percent(found.value, digits)} [{low}, {high}]"


def _reading(view: LayersView, told: bool) -> tuple[str, ...]:
    if not told:
        return ()
    how = (
        f"Estimated from {count(view.trials, 'trial')}, fp32 left out; 95 % intervals, and in how many of the trials "
        "the layer had the choice."
    )
    if all(effect.drop for effect in _effects(view) if effect.trials):
        return (how,)
    return (how, f"{_UNTOLD}: the trials do not separate it from what other layers had at the same time.")


def _graphs_table(view: LayersView) -> Table:
    columns = ("trial", "what", "float ops", "integer ops", "quantize", "dequantize", "cast", "other")
    lines = []
    for graph in view.graphs:
        seen = operator_counts(graph.operators)
        numbers = (seen.float_ops, seen.integer_ops, seen.quantize, seen.dequantize, seen.cast, seen.other)
        mark = Mark.PICK if graph.pick else Mark.NONE
        lines.append(Line(cells=(short(graph.trial), _what(graph), *(str(each) for each in numbers)), mark=mark))
    notes = (
        "Nodes of the graph that ran, after the runtime's own rewriting; float ops are those that multiply matrices or "
        "weights in float, so what stays beside fp32's count was not quantized. -f json has every operator.",
    )
    return Table(
        columns=columns,
        lines=tuple(lines),
        title="what really ran",
        notes=notes,
        right=frozenset({"trial", *columns[2:]}),
        spare=("other",),
    )


def _what(graph: GraphSeen) -> str:
    uniform = graph.uniform if graph.uniform in ("", "fp32") else f"uniform {graph.uniform}"
    parts = ["the pick" if graph.pick else "", "front" if graph.front else "", uniform]
    return ", ".join(part for part in parts if part)
