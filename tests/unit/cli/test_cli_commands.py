"""Every command on a desk in memory: what it asks, what it prints where, what it ends with."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import report_records as records
import report_records_compared as compared
import report_records_desk as desk_records
import report_records_models as model_records

from qsearch.cli.main import main
from qsearch.contracts.choices import Choice
from qsearch.contracts.job import JobState
from qsearch.contracts.measurement import Tier
from qsearch.contracts.trial import TrialState
from qsearch.contracts.verdict import Verdict
from qsearch.contracts.views import BestQuery, Check, JobStatus, Overrides

#: every command that prints records, with what it needs
PRINTING = {
    "validate": ["s.yaml"],
    "plan": ["s.yaml"],
    "run": ["s.yaml"],
    "resume": ["j1"],
    "submit": ["s.yaml"],
    "watch": ["j1"],
    "stop": ["j1"],
    "cancel": ["j1", "-y"],
    "head show": [],
    "head stop": ["-y"],
    "jobs": [],
    "status": ["j1"],
    "best": ["j1"],
    "pareto": ["j1"],
    "trials": ["j1"],
    "layers": ["j1"],
    "show": ["j1/4"],
    "compare": ["j1/4", "j1/1"],
    "query": ["select 1"],
    "export": ["j1/4", "-o", "out"],
    "inspect": ["m.onnx"],
    "bench": ["a.onnx", "b.onnx"],
    "eval": ["a.onnx", "j1/best", "--spec", "s.yaml"],
    "doctor": [],
    "version": [],
    "config show": [],
}


@pytest.mark.parametrize("command", PRINTING)
def test_json_owns_stdout(qsearch, command: str) -> None:
    for flag in (["--json"], ["-f", "json"]):
        ran = qsearch(*command.split(), *PRINTING[command], *flag)
        assert ran.code == 0, ran.err
        assert json.loads(ran.out)["schema"].startswith("qsearch.")


@pytest.mark.parametrize("command", PRINTING)
def test_the_other_forms(qsearch, command: str) -> None:
    argv = [*command.split(), *PRINTING[command]]
    for line in qsearch(*argv, "-f", "jsonl").out.splitlines():
        assert json.loads(line)["schema"].startswith("qsearch.")
    assert list(csv.DictReader(io.StringIO(qsearch(*argv, "-f", "csv").out)))
    assert qsearch(*argv, "-f", "md").out.count("|") > 3
    table = qsearch(*argv)
    assert table.out.strip()
    assert "\x1b" not in table.out


@pytest.mark.parametrize("command", PRINTING)
def test_contradicting_forms_are_refused_before_anything_is_opened(qsearch, desk, command: str) -> None:
    ran = qsearch(*command.split(), *PRINTING[command], "--json", "-f", "csv")
    assert (ran.code, ran.out, desk.opened) == (2, "", 0)
    assert "contradict" in ran.err


def test_run_hands_over_its_options(qsearch, desk) -> None:
    options = "--fast --trials 5 --time 2m --seed 3 --sampler nsga2 --no-racing --name n --pool replay:r.json"
    many = ["--target", "a", "--target", "b", "--choice", "fp32", "--choice", "int8-dynamic"]
    assert qsearch("run", "s.yaml", *options.split(), *many).code == 0
    assert desk.asked["job"] == "j1", "the front was asked for last"
    desk.error = KeyError("stop here")
    qsearch("run", "s.yaml", *options.split(), *many)
    assert desk.asked["overrides"] == Overrides(
        name="n",
        trials=5,
        time="2m",
        seed=3,
        sampler="nsga2",
        racing=False,
        quick=True,
        pool="replay:r.json",
        targets=("a", "b"),
        choices=(Choice.FP32, Choice.INT8_DYNAMIC),
    )


def test_plan_takes_the_options_of_run_that_matter_to_it(qsearch, desk) -> None:
    options = (
        "--fast --trials 5 --time 2m --sampler nsga2 --racing --pool replay:r.json --target a --target b --choice fp32"
    )
    assert qsearch("plan", "s.yaml", *options.split()).code == 0
    assert desk.asked["overrides"] == Overrides(
        trials=5,
        time="2m",
        sampler="nsga2",
        racing=True,
        quick=True,
        pool="replay:r.json",
        targets=("a", "b"),
        choices=(Choice.FP32,),
    )
    desk.asked = {}
    assert qsearch("plan", "s.yaml").code == 0
    assert desk.asked["overrides"] == Overrides()


def test_resume_hands_over_pool_and_recording(qsearch, desk) -> None:
    desk.error = KeyError("stop here")
    qsearch("resume", "j1", "--pool", "ray", "--record", "r.jsonl")
    assert desk.asked == {"job": "j1", "overrides": Overrides(pool="ray", record="r.jsonl")}


def test_run_without_options_overrides_nothing(qsearch, desk) -> None:
    qsearch("run", "s.yaml", "--json")
    assert desk.asked == {"spec": Path("s.yaml"), "overrides": Overrides()}


def test_run_ends_with_the_front_the_pick_and_what_to_type(qsearch) -> None:
    ran = qsearch("run", "s.yaml")
    assert ran.out.index("tie 4") < ran.out.index("fastest of 5 feasible")
    assert "faster than uniform int8-dynamic" in ran.out
    for command in ("export j1/best", "pareto j1 --plot -", "show j1/4", "query"):
        assert f"qsearch {command}" in ran.err
        assert command not in ran.out
    assert "minilm searching 0/30" in ran.err


def test_an_unknown_choice_is_named_with_the_nearest(qsearch, desk) -> None:
    ran = qsearch("run", "s.yaml", "--choice", "int8-dynamik")
    assert (ran.code, desk.opened) == (2, 0)
    assert "Did you mean int8-dynamic?" in ran.err


def test_best_hands_over_its_limits(qsearch, desk) -> None:
    limits = "--max-drop 1% --max-latency 5ms --max-size 20MiB --rule knee --target t --confident"
    assert qsearch("best", "@last", *limits.split()).code == 0
    asked = BestQuery(max_drop="1%", max_latency="5ms", max_size="20MiB", rule="knee", target="t", confident=True)
    assert desk.asked == {"job": "@last", "query": asked}
    assert qsearch("best", "@last", "--rule", "best").code == 2


def test_best_that_is_infeasible_is_printed_and_ends_with_6(qsearch, desk) -> None:
    desk.the_best = records.best(feasible=False)
    ran = qsearch("best", "j1", "--json")
    assert ran.code == 6
    assert json.loads(ran.out)["trial"] == "j1/4"
    assert "closest" in qsearch("best", "j1").out


def test_run_that_is_infeasible_ends_with_6_and_a_failed_one_with_5(qsearch, desk) -> None:
    desk.the_status = records.status(bests=(records.best(feasible=False),))
    assert qsearch("run", "s.yaml").code == 6
    desk.the_status = records.status(job=records.job(state=JobState.FAILED, message="no worker"), bests=())
    ran = qsearch("resume", "j1")
    assert ran.code == 5
    assert "no worker" in ran.out
    assert "qsearch trials j1" in ran.err
    assert qsearch("status", "j1").code == 0, "asking how a failed job stands does not fail"


def test_pareto_draws(qsearch) -> None:
    ran = qsearch("pareto", "j1", "--plot", "-")
    assert ran.code == 0
    assert {"★", "◆", "▲"} <= set(ran.out)


def test_pareto_can_be_confident(qsearch, desk) -> None:
    assert qsearch("pareto", "j1", "--confident").code == 0
    assert desk.asked == {"job": "j1", "target": "", "confident": True}


def test_pareto_draws_into_a_file_and_prints_its_path(qsearch, desk, tmp_path: Path) -> None:
    ran = qsearch("pareto", "j1", "--plot", "front.html", "--target", "t")
    assert (ran.code, ran.out) == (0, "front.html\n")
    assert desk.asked == {"job": "j1", "target": "t", "confident": False}
    first = (tmp_path / "front.html").read_text()
    assert "The pick is j1/4" in first
    again = qsearch("pareto", "j1", "--plot", "front.html")
    assert again.code == 2
    assert "front.html exists" in again.err
    assert "--force" in again.err
    assert qsearch("pareto", "j1", "--plot", "front.html", "--force").code == 0
    assert (tmp_path / "front.html").read_text() == first
    assert [file.name for file in tmp_path.iterdir()] == ["front.html"], "nothing half written is left"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["j1", "--plot", "x.gif"], "--plot x.gif: cannot draw into a .gif file"),
        (["j1", "--plot", "x"], ".html, .png, .svg, .pdf"),
        (["j1", "--plot", "gone/x.png"], "no folder gone"),
        (["j1", "j2", "--plot", "x.html"], "2 jobs"),
        (["j1", "--plot", "x.html", "--json"], "contradict"),
        (["j1", "--force"], "--force is for the file of --plot"),
    ],
)
def test_a_plot_that_cannot_be_is_refused_before_anything_is_opened(qsearch, desk, words: list[str], said: str) -> None:
    ran = qsearch("pareto", *words)
    assert (ran.code, ran.out, desk.opened) == (2, "", 0)
    assert said in ran.err


def test_a_missing_library_is_named_with_what_to_install(qsearch, desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qsearch.report.plot_files.find_spec", lambda name: None)
    ran = qsearch("pareto", "j1", "--plot", "x.png")
    assert (ran.code, desk.opened) == (3, 0)
    assert "matplotlib is not installed" in ran.err
    assert "pip install --editable '.[plots]'" in ran.err


def test_layers_fit_a_terminal(qsearch, desk) -> None:
    ran = qsearch("layers", "j1", "--target", "t")
    assert desk.asked == {"job": "j1", "target": "t"}
    assert "0.3 % [0.1, 0.5] (4)" in ran.out
    assert "not told apart (3)" in ran.out


def test_pareto_of_several_jobs(qsearch) -> None:
    document = json.loads(qsearch("pareto", "j1", "j2", "--json").out)
    assert [front["target"] for front in document["fronts"]] == ["cpu-1thread"] * 2


def test_states_are_read_in_any_case_and_refused_by_name(qsearch, desk) -> None:
    qsearch("trials", "j1", "--state", "failed", "--state", "DONE")
    assert desk.asked["states"] == (TrialState.FAILED, TrialState.DONE)
    qsearch("jobs", "-n", "3", "--state", "done")
    assert desk.asked == {"limit": 3, "states": (JobState.DONE,)}
    assert qsearch("jobs", "--state", "finished").code == 2
    assert "FINALIZING" in qsearch("jobs", "--state", "finished").err
    assert qsearch("trials", "j1", "--state", "paused").code == 2


def test_bench_hands_over_what_to_time_and_fails_when_one_could_not_be(qsearch, desk) -> None:
    ran = qsearch("bench", "a.onnx", "b.onnx", "--tier", "final", "--shape", "sequence=32", "--data", "x.npz")
    assert ran.code == 0, ran.err
    asked = {"models": ("a.onnx", "b.onnx"), "data": "x.npz", "target": "", "tier": Tier.FINAL}
    assert desk.asked == {**asked, "shapes": ("sequence=32",), "targets": (), "spec": None}
    qsearch("bench", "a.onnx", "--target", "t", "--target", "u", "--spec", "s.yaml")
    assert (desk.asked["targets"], desk.asked["spec"], desk.asked["data"]) == (("t", "u"), Path("s.yaml"), "")
    desk.the_timings = compared.timings()
    ran = qsearch("bench", "a.onnx", "b.onnx")
    assert ran.code == 5
    assert "bad-model: it wants other inputs" in ran.out
    assert "RANDOM" in ran.out


def test_bench_ends_with_9_when_it_is_strict_and_a_time_was_not_told_apart(qsearch, desk) -> None:
    unclear = records.latency(1.5, verdict=Verdict.POLLUTED)
    view = records.bench()
    desk.the_timings = replace(view, result=replace(view.result, latencies={1: unclear}))
    assert qsearch("bench", "a.onnx", "b.onnx").code == 0
    assert qsearch("bench", "a.onnx", "b.onnx", "--strict").code == 9
    desk.the_timings = view
    assert qsearch("bench", "a.onnx", "b.onnx", "--strict").code == 0


def test_compare_hands_over_two_trials_or_a_job(qsearch, desk) -> None:
    assert qsearch("compare", "j1/4", "j2/best:t", "--measure", "--fast").code == 0
    assert desk.asked == {"first": "j1/4", "second": "j2/best:t", "measure": True, "quick": True}
    assert qsearch("compare", "j1", "--targets").code == 0
    assert desk.asked == {"job": "j1"}


@pytest.mark.parametrize(
    "words", [["j1/4"], ["j1", "j2", "--targets"], ["j1", "--targets", "--measure"], ["j1/1", "j1/2", "--fast"]]
)
def test_flags_of_compare_that_mean_nothing_together_are_refused(qsearch, words: list[str]) -> None:
    assert qsearch("compare", *words).code == 2


def test_compare_is_strict_when_asked(qsearch, desk) -> None:
    assert qsearch("compare", "j1/4", "j1/1", "--strict").code == 0
    desk.the_comparison = compared.incomparable()
    assert qsearch("compare", "j1/4", "j1/1").code == 0
    ran = qsearch("compare", "j1/4", "j1/1", "--strict")
    assert ran.code == 9
    assert "runtime_key is a here and b there" in ran.out


def test_version_is_a_flag_too(qsearch) -> None:
    ran = qsearch("--version")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("qsearch ")
    assert len(ran.out.splitlines()) == 1


def test_eval_hands_over_files_and_trials_and_fails_when_one_of_them_could_not_be_measured(qsearch, desk) -> None:
    ran = qsearch("eval", "a.onnx", "j1/best", "--spec", "s.yaml", "--target", "t", "--fast")
    assert (ran.code, ran.err) == (0, "Scoring, then timing.\n")
    assert desk.asked == {"models": ("a.onnx", "j1/best"), "spec": Path("s.yaml"), "target": "t", "quick": True}
    desk.the_evaluation = model_records.evaluation()
    ran = qsearch("eval", "a.onnx", "--spec", "s.yaml")
    assert ran.code == 5
    assert "bad-model: it has no output 'out'" in ran.out
    assert "2.50×" in ran.out
    assert qsearch("eval", "a.onnx").code == 2


def test_export_says_when_the_file_is_not_the_trial(qsearch, desk) -> None:
    assert qsearch("export", "j1/4", "-o", "out", "--verify", "--force").code == 0
    assert desk.asked == {"trial": "j1/4", "out": Path("out"), "verify": True, "force": True}
    desk.the_receipt = desk_records.receipt("outputs differ")
    ran = qsearch("export", "j1/4", "-o", "out", "--verify", "--json")
    assert ran.code == 5
    assert json.loads(ran.out)["verified"] is False
    assert "outputs differ" in ran.err


def test_plan_of_the_impossible_ends_with_3(qsearch, desk) -> None:
    desk.the_plan = records.plan("impossible: size ≤ 10 MiB, smallest reachable 46.7 MiB")
    ran = qsearch("plan", "s.yaml")
    assert ran.code == 3
    assert "smallest reachable 46.7 MiB" in ran.out


def test_init_prints_the_path_and_overwrites_nothing(qsearch, desk, tmp_path: Path) -> None:
    ran = qsearch("init", "models/m.onnx", "--data", "x.npz", "--metric", "top1")
    assert (ran.code, ran.out) == (0, "m.yaml\n")
    assert desk.asked["data"] == "x.npz"
    assert qsearch("init", "--example", "minilm").out == "minilm.yaml\n"
    (tmp_path / "m.yaml").write_text("mine")
    refused = qsearch("init", "m.onnx")
    assert refused.code == 2
    assert "m.yaml exists" in refused.err
    assert qsearch("init").code == 2
    assert qsearch("init", "m.onnx", "--example", "minilm").code == 2


def test_doctor_ends_with_8_for_a_problem_and_0_for_a_warning(qsearch, desk) -> None:
    assert qsearch("doctor").code == 0
    desk.the_checks = (*desk_records.checks(), Check(name="worker", status="problem", finding="no worker"))
    ran = qsearch("doctor", "--json")
    assert ran.code == 8
    assert json.loads(ran.out)["checks"][-1]["status"] == "problem"


def test_query_without_sql_asks_for_the_views(qsearch, desk) -> None:
    assert qsearch("query", "--limit", "5", "--timeout", "2").code == 0
    assert desk.asked == {"sql": "", "limit": 5, "timeout_s": 2.0}


def test_global_options_reach_the_desk(qsearch, desk) -> None:
    qsearch("--database-url", "sqlite:///x.db", "--artifacts", "a", "--ray-address", "auto", "jobs")
    assert desk.flags["database_url"] == "sqlite:///x.db"
    assert (desk.flags["artifacts"], desk.flags["ray_address"], desk.flags["config"]) == ("a", "auto", None)


def test_config_shows_origins_and_hides_passwords(qsearch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QSEARCH_DATABASE_URL", "postgresql://ann:secret@host/db")
    text = qsearch("config", "show", "--origin", "--json").out
    settings = {row["setting"]: row for row in json.loads(text)["settings"]}
    assert settings["database_url"]["origin"] == "QSEARCH_DATABASE_URL"
    assert "secret" not in text
    assert "origin" not in json.loads(qsearch("config", "show", "--json").out)["settings"][0]


def test_colours(qsearch, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[" in qsearch("--color", "always", "pareto", "j1").out
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[" in qsearch("pareto", "j1").out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in qsearch("pareto", "j1").out
    assert "\x1b[" in qsearch("--color", "always", "pareto", "j1").out


def test_names_cannot_steer_a_terminal(qsearch, desk) -> None:
    desk.the_jobs = (records.job(name="\x1b[2Jevil [bold]x[/bold]", message="=1+1"),)
    ran = qsearch("jobs")
    assert "\x1b" not in ran.out
    assert "\\x1b[2Jevil [bold]x[/bold]" in ran.out
    assert "'=1+1" in qsearch("jobs", "-f", "csv").out


def test_what_libraries_print_goes_to_stderr(desk, capfd: pytest.CaptureFixture[str], monkeypatch) -> None:
    def noisy(job: str) -> JobStatus:
        print("from a library")
        subprocess.run(["echo", "from a child"], check=True)
        return desk.the_status

    monkeypatch.setattr(desk, "status", noisy)
    desk.opened += 1
    assert main(["status", "j1", "--json"], desk_factory=lambda flags: desk) == 0
    seen = capfd.readouterr()
    assert json.loads(seen.out)["schema"] == "qsearch.status/1"
    assert "from a library" in seen.err
    assert "from a child" in seen.err


def test_a_broken_pipe_of_the_desk_is_not_taken_for_a_reader_that_left(qsearch, desk) -> None:
    desk.error = BrokenPipeError("worker")
    ran = qsearch("status", "j1")
    assert ran.code == 1
    assert "this is a bug" in ran.err
