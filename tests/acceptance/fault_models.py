"""Models and user code that do wrong when they are told to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WIDTH = 8
#: what a sample holds to make the model loop for ever, or ask for 256 GiB
LOOP, GREED = 1000.0, -1000.0
#: the user's code; the file `fault` beside it says what it does wrong
TASK = """\
import ctypes, json, os, subprocess, sys, threading, time
from multiprocessing import shared_memory
from pathlib import Path

import numpy as np

from qsearch.contracts.task import Scores, Split, Task

HERE = Path(__file__).parent


def misbehave():
    kind = (HERE / "fault").read_text()
    if kind == "hang":
        time.sleep(600)
    if kind == "raise":
        raise KeyError("boom")
    if kind == "flood":
        for _ in range(1024):
            os.write(1, bytes(1 << 20))
        raise ValueError("said enough")
    if kind == "exit":
        sys.exit(3)
    if kind == "vanish":
        os._exit(3)
    if kind == "segfault":
        ctypes.string_at(0)
    if kind == "allocate":
        kept = []
        while True:
            kept.append(bytearray(64 << 20))
    if kind == "stray":
        # away from the group, away from its parent, without the mark, with files and shared memory
        program = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], " \\
            "env={}, start_new_session=True)"
        subprocess.run([sys.executable, "-c", program], env={}, start_new_session=True)
        subprocess.Popen(["sleep", "600"], start_new_session=True)
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
        shared_memory.SharedMemory(create=True, size=4096)
        import tempfile
        tempfile.mkdtemp()
        raise ValueError("gone astray")
    if kind == "unmade":
        os.chdir("/")
        json.dumps = json.loads = sys.stdout = None
        raise ValueError("all is changed")
    return kind


def score(outputs, labels):
    kind = misbehave()
    found = np.array([float(np.argmax(row) == label) for row, label in zip(outputs["y"], labels["labels"])])
    if kind == "nan":
        found[1] = np.nan
    if kind == "text":
        return ["right"] * len(found)
    if kind == "length":
        return found[1:]
    return found


def task():
    kind = misbehave()
    draw = np.random.default_rng(3)
    rows = draw.standard_normal((24, 8)).astype(np.float32)
    if kind == "nan":
        rows[0, 0] = np.nan
    made = [{"x": row} for row in rows]
    if kind == "objects":
        made[0] = {"x": np.array([{}], object)}
    if kind == "nothing":
        made = []
    if kind == "text":
        return "a task"
    parts = [Split(samples=made[i::3], labels={"labels": np.arange(8) % 3}) for i in range(3)]
    return Task(metric="hits", score=score, calibration=parts[0], search=parts[1], heldout=parts[2])
"""


def write_model(path: Path) -> None:
    """y = relu(x · W) · V, unless a sample asks for more."""
    draw = np.random.default_rng(5)
    spinning = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Identity", ["v"], ["w"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, None),
        ],
    )
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
        helper.make_node("Greater", ["most", "hundred"], ["spin"]),
        helper.make_node("Loop", ["", "spin", "x"], ["spun"], body=spinning),
        helper.make_node("ReduceMin", ["x"], ["least"], keepdims=0),
        helper.make_node("Less", ["least", "minus"], ["greedy"]),
        helper.make_node("Where", ["greedy", "huge", "one"], ["size"]),
        helper.make_node("ConstantOfShape", ["size"], ["zeros"]),
        helper.make_node("ReduceMax", ["zeros"], ["zero"], keepdims=0),
        helper.make_node("Add", ["spun", "zero"], ["fed"]),
        helper.make_node("MatMul", ["fed", "W"], ["h"], name="hidden"),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "V"], ["y"], name="head"),
    ]
    weights = [
        numpy_helper.from_array(draw.standard_normal((WIDTH, 16)).astype(np.float32), "W"),
        numpy_helper.from_array(draw.standard_normal((16, 3)).astype(np.float32), "V"),
        numpy_helper.from_array(np.float32(100), "hundred"),
        numpy_helper.from_array(np.float32(-100), "minus"),
        numpy_helper.from_array(np.array([2**36], np.int64), "huge"),
        numpy_helper.from_array(np.array([1], np.int64), "one"),
    ]
    given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", WIDTH])]
    got = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])]
    graph = helper.make_graph(nodes, "moody", given, got, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def write_endless(path: Path) -> int:
    """The smallest model that never ends; its bytes."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["d"]), helper.make_node("Identity", ["v"], ["w"])],
        "b",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("d", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, None),
        ],
    )
    nodes = [helper.make_node("Loop", ["", "", "x"], ["y"], body=body)]
    given, got = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in "xy")
    model = helper.make_model(
        helper.make_graph(nodes, "g", [given], [got]), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    onnx.save(model, path)
    return path.stat().st_size


def write_greedy(path: Path) -> int:
    """A model of some seventy bytes; fed with 2^36 it asks for 256 GiB."""
    given = helper.make_tensor_value_info("x", TensorProto.INT64, [1])
    got = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([helper.make_node("ConstantOfShape", ["x"], ["y"])], "g", [given], [got])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path.stat().st_size
