"""The documented views: the public SQL interface, read by `qsearch query`.

Column names carry their unit. Times are ISO 8601 text in UTC. A `drop` is a relative drop against
fp32, 0.01 = 1 %, positive is worse; a `speedup` is time of fp32 / time of the candidate. The `floor` of a
machine is half of a screen's 95 % interval, 0.01 = 1 %; its `session_sd` and `pair_sd` are of ln ratio.

NOTE: views are made anew after every migration and belong to no revision, so that a revision may
rebuild a table without knowing who looks at it. They read tables only, never each other: the
authorizer of `qsearch.store.query_sqlite` relies on it.

NOTE: one text serves every database. Three words in it are ours, and `bodies` spells them: TIME(column)
is milliseconds as ISO 8601 text, EACH(column) the pairs of a JSON object as rows (key, value),
INVERSE(column) one over it, and null for 0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from sqlalchemy import Connection, inspect


def _count(state: str) -> str:
    return f"(SELECT count(t.state) FROM trials t WHERE t.job = j.id AND t.state = '{state}')"  # noqa: S608 - our words


_JOBS = f"""
SELECT j.id AS job, j.name AS name, j.state AS state, j.owner AS owner,
       TIME(j.created_ms) AS created, TIME(j.ended_ms) AS ended,
       j.budget AS budget_trials, {_count("QUEUED")} AS trials_queued, {_count("RUNNING")} AS trials_running,
       {_count("DONE")} AS trials_done, {_count("FAILED")} AS trials_failed, {_count("CANCELLED")} AS trials_cancelled,
       j.searched_s AS searched_s, j.epoch AS epoch, j.message AS message
  FROM jobs j
"""  # noqa: S608

# a polluted sitting has an estimate, and no interval
_TOLD = """CASE WHEN m.verdict <> 'POLLUTED' THEN INVERSE(m.ratio_high) END AS speedup_low,
       CASE WHEN m.verdict <> 'POLLUTED' THEN INVERSE(m.ratio_low) END AS speedup_high,"""
_FINAL_TOLD = """CASE WHEN f.verdict <> 'POLLUTED' THEN INVERSE(f.ratio_high) END AS final_speedup_low,
       CASE WHEN f.verdict <> 'POLLUTED' THEN INVERSE(f.ratio_low) END AS final_speedup_high,"""

_TRIALS = f"""
SELECT t.job AS job, t.job || '/' || t.number AS trial, t.number AS number, t.target AS target, t.state AS state,
       t.origin AS origin, TIME(t.created_ms) AS created, TIME(t.ended_ms) AS ended,
       t.token AS attempts, t.cause AS cause, t.message AS message,
       m.verdict AS verdict, INVERSE(m.ratio) AS speedup, {_TOLD}
       m.median_ms AS latency_p50_ms, m.reference_ms AS reference_p50_ms,
       m.metric AS metric, m.score AS score, m.reference_score AS reference_score,
       m.drop_value AS drop_search, m.drop_low AS drop_search_low, m.drop_high AS drop_search_high,
       m.size_bytes AS size_bytes, m.peak_memory_bytes AS peak_memory_bytes,
       f.verdict AS final_verdict, INVERSE(f.ratio) AS final_speedup, {_FINAL_TOLD}
       f.drop_value AS drop_heldout, f.drop_low AS drop_heldout_low,
       f.drop_high AS drop_heldout_high, m.machine_key AS machine_key, m.runtime_key AS runtime_key,
       m.runtime AS runtime, t.candidate AS candidate_digest
  FROM trials t
  LEFT JOIN measurements m ON m.job = t.job AND m.number = t.number AND m.role = 'trial'
  LEFT JOIN measurements f ON f.id = (SELECT max(g.id) FROM measurements g
                                       WHERE g.job = t.job AND g.number = t.number AND g.role = 'final')
"""  # noqa: S608

_TRIAL_LAYERS = """
SELECT t.job AS job, t.job || '/' || t.number AS trial, t.number AS number, t.target AS target, t.state AS state,
       c.key AS layer, c.value AS choice, l.position AS position, l.op AS op, l.parameters AS parameters,
       l.macs AS macs
  FROM trials t
  CROSS JOIN EACH(t.choices) c
  LEFT JOIN layers l ON l.job = t.job AND l.target = t.target AND l.id = c.key
"""

_PARETO = f"""
SELECT p.job AS job, p.job || '/' || p.number AS trial, p.number AS number, p.target AS target, p.rank AS rank,
       p.tied_with AS tied_with, p.feasible AS feasible, p.excess AS excess,
       b.trial IS NOT NULL AND b.trial = p.job || '/' || p.number AS pick, t.origin AS origin,
       m.verdict AS verdict, INVERSE(m.ratio) AS speedup, {_TOLD}
       m.median_ms AS latency_p50_ms, m.metric AS metric, m.score AS score,
       m.drop_value AS drop_search, m.drop_low AS drop_search_low, m.drop_high AS drop_search_high,
       f.drop_value AS drop_heldout, INVERSE(f.ratio) AS final_speedup, m.size_bytes AS size_bytes,
       m.peak_memory_bytes AS peak_memory_bytes, m.machine_key AS machine_key
  FROM fronts p
  JOIN trials t ON t.job = p.job AND t.number = p.number
  JOIN measurements m ON m.job = p.job AND m.number = p.number AND m.role = 'trial'
  LEFT JOIN measurements f ON f.id = (SELECT max(g.id) FROM measurements g
                                       WHERE g.job = p.job AND g.number = p.number AND g.role = 'final')
  LEFT JOIN bests b ON b.job = p.job AND b.target = p.target
"""  # noqa: S608

_MEASUREMENTS = """
SELECT m.job AS job, m.job || '/' || m.number AS trial, m.number AS number, t.target AS target, m.role AS role,
       m.tier AS tier, TIME(m.at_ms) AS accepted, m.token AS token, m.digest AS digest, m.verdict AS verdict,
       m.ratio AS latency_ratio, m.ratio_low AS latency_ratio_low, m.ratio_high AS latency_ratio_high,
       m.sessions AS sessions, m.pairs AS pairs, m.median_ms AS latency_p50_ms, m.reference_ms AS reference_p50_ms,
       m.metric AS metric, m.split AS split, m.samples AS samples, m.score AS score,
       m.reference_score AS reference_score, m.drop_value AS drop_value, m.drop_low AS drop_low,
       m.drop_high AS drop_high, m.size_bytes AS size_bytes, m.peak_memory_bytes AS peak_memory_bytes,
       m.artifact_sha256 AS artifact_sha256, m.host AS host, m.runtime AS runtime, m.machine_key AS machine_key,
       m.runtime_key AS runtime_key
  FROM measurements m
  JOIN trials t ON t.job = m.job AND t.number = m.number
"""

_MACHINES = """
SELECT h.host AS host, h.machine_key AS machine_key, h.cpu AS cpu, h.cores AS cores, h.isa AS isa,
       h.virtualisation AS virtualisation, h.labels AS labels, TIME(h.first_seen_ms) AS first_seen,
       TIME(h.last_seen_ms) AS last_seen
  FROM machines h
"""

_NOISE = """
SELECT n.machine_key AS machine_key, n.runtime_key AS runtime_key, n.runtime AS runtime, n.host AS host,
       n.source AS source, n.model AS model, TIME(n.taken_ms) AS taken, n.sittings AS sittings,
       n.sessions AS sessions, n.session_sd AS session_sd, n.pair_sd AS pair_sd, n.floor AS floor,
       n.median_ms AS latency_p50_ms
  FROM noise_floors n
"""

#: name → the SELECT behind it, in the order they are listed to people
VIEWS: Mapping[str, str] = {
    "v_jobs": _JOBS.strip(),
    "v_trials": _TRIALS.strip(),
    "v_trial_layers": _TRIAL_LAYERS.strip(),
    "v_pareto": _PARETO.strip(),
    "v_measurements": _MEASUREMENTS.strip(),
    "v_machines": _MACHINES.strip(),
    "v_noise": _NOISE.strip(),
}
#: by SQLAlchemy's name of the dialect: how it spells our words; \1 is the column
_SPELLINGS = {
    "sqlite": {
        "TIME": r"strftime('%Y-%m-%dT%H:%M:%fZ', \1 / 1000.0, 'unixepoch')",
        "EACH": r"json_each(\1)",
        "INVERSE": r"1.0 / \1",
    },
    "postgresql": {
        "TIME": r"""to_char(timestamp '1970-01-01' + \1 * interval '1 millisecond', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')""",
        "EACH": r"json_each_text(CAST(\1 AS json))",
        "INVERSE": r"1.0 / NULLIF(\1, 0)",
    },
}


def bodies(dialect: str, schema: str = "") -> dict[str, str]:
    """The views as a database spells them.

    Args:
        dialect: `sqlite` or `postgresql`.
        schema: every table is named `schema.table`; empty = bare names.
    """
    found = {}
    for name, body in VIEWS.items():
        text = re.sub(r"\b(FROM|JOIN) (?!EACH)", rf"\1 {schema}.", body) if schema else body
        for word, spelling in _SPELLINGS[dialect].items():
            text = re.sub(rf"\b{word}\(([\w.]+)\)", spelling, text)
        found[name] = text
    return found


def create_views(connection: Connection) -> None:
    """Make every view; none of them may be there."""
    for name, body in bodies(connection.dialect.name).items():
        connection.exec_driver_sql(f"CREATE VIEW {name} AS {body}")


def drop_views(connection: Connection) -> None:
    """Drop every view that starts with `v_`, this version's or another's."""
    for name in (view for view in inspect(connection).get_view_names() if view.startswith("v_")):
        connection.exec_driver_sql(f'DROP VIEW "{name}"')
