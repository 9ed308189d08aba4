"""load.py of an exported folder, for each runtime: the program that loads the file as it was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from string import Template
from types import MappingProxyType


@dataclass(frozen=True, slots=True, kw_only=True)
class Loader:
    """What is particular to a runtime in an exported folder."""

    #: load.py; needs the runtime and numpy only
    text: str
    #: what `load.py --plain` loads with, in words
    plain: str
    #: the runtime's word for what session.json sets
    settings: str
    #: a sentence of README.md about loading without session.json; empty = nothing to say
    caution: str = ""


_TEXT = Template('''"""Load model.onnx as it was measured. Needs $package and numpy only.

    from load import load
    session = load()

Run as a program it compares the model's outputs on this machine with those seen when it was measured
(check.npz): exit 0 when they agree, 1 when they do not, or when it cannot be loaded as it was measured.
`--plain` $plain
"""

import json
import sys
from pathlib import Path

import numpy as np
$imports

HERE = Path(__file__).resolve().parent


$functions


def check(session):
    """Largest difference to the outputs in check.npz, and the smallest cosine."""
    worst, cosine, same = 0.0, 1.0, True
    with np.load(HERE / "check.npz", allow_pickle=False) as stored:
        count = int(stored["count"])
        for i in range(count):
            before, after = f"in:{i}:", f"out:{i}:"
            feeds = {k[len(before):]: stored[k] for k in stored.files if k.startswith(before)}
            expect = {k[len(after):]: stored[k] for k in stored.files if k.startswith(after)}
            outputs = run(session, feeds, list(expect))
            for name, expected in expect.items():
                found = outputs[name]
                same = same and found.shape == expected.shape and bool(np.array_equal(found, expected, equal_nan=True))
                a, b = found.astype(np.float64).ravel(), expected.astype(np.float64).ravel()
                worst = max(worst, float(np.abs(a - b).max(initial=0.0)))
                norm = float(np.linalg.norm(a) * np.linalg.norm(b))
                cosine = min(cosine, float(a @ b) / norm if norm else float(worst == 0.0))
    return {"identical": same, "agrees": same or cosine > 0.9999, "max_abs_difference": worst, "cosine": cosine}


if __name__ == "__main__":
    found = check(load(plain="--plain" in sys.argv))
    if "--json" in sys.argv:
        print(json.dumps(found))
    else:
        differs = f"largest difference {found['max_abs_difference']:.3g}, cosine {found['cosine']:.6f}"
        print("outputs are identical" if found["identical"] else differs)
    sys.exit(0 if found["agrees"] else 1)
''')

_ORT = '''def load(plain=False):
    """An InferenceSession with the session options that were measured, or with the defaults.

    Raises RuntimeError where it would run on another provider than was measured, or without its options.
    """
    if plain:
        return onnxruntime.InferenceSession(str(HERE / "model.onnx"), providers=["CPUExecutionProvider"])
    settings = json.loads((HERE / "session.json").read_text(encoding="utf-8"))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = settings["intra_op_num_threads"]
    options.inter_op_num_threads = settings["inter_op_num_threads"]
    for name, value in settings["config"].items():
        options.add_session_config_entry(name, value)
    provider, asked = named(settings["provider"]), settings.get("provider_options", {})
    session = onnxruntime.InferenceSession(str(HERE / "model.onnx"), options, providers=[(provider, asked)])
    must_be_used(session, provider, asked)
    return session


def named(provider):
    """The provider by the name that this build has for it."""
    available = onnxruntime.get_available_providers()
    for name in available:
        if name.lower() == provider.lower():
            return name
    raise RuntimeError(
        f"measured on {provider}, which onnxruntime {onnxruntime.__version__} has not been built with here; it has "
        f"{', '.join(available)}"
    )


def must_be_used(session, provider, asked):
    """Refuse a session that fell back to another provider, or that dropped an option of it without a word."""
    found = session.get_providers()
    if found[:1] != [provider]:
        raise RuntimeError(f"measured on {provider}, which could not be started: this session runs on {found}")
    read_back = session.get_provider_options().get(provider, {})
    for name, value in asked.items():
        if name not in read_back or not same(read_back[name], value):
            has = read_back.get(name, "no such option")
            raise RuntimeError(f"measured with {name}={value} of {provider}, and this session has {has}")


def same(found, asked):
    """Providers write numbers and truths in their own ways: 1, True, 1.0."""
    one, other = ({"true": "1", "false": "0"}.get(str(v).lower(), str(v).lower()) for v in (found, asked))
    try:
        return one == other or float(one) == float(other)
    except ValueError:
        return False


def run(session, feeds, names):
    """Outputs by name."""
    return dict(zip(names, session.run(names, feeds)))'''

# NOTE: plain keeps the precision. A CPU with bfloat16 computes fp32 files in it by default, so that
# without the property every file would differ from its trial there, whatever is written in it.
_OV = '''def load(plain=False):
    """A CompiledModel with the properties that were measured, or with the defaults but for the precision."""
    settings = json.loads((HERE / "session.json").read_text(encoding="utf-8"))
    kept = ("INFERENCE_PRECISION_HINT",) if plain else settings["config"]
    config = {name: settings["config"][name] for name in kept}
    return openvino.Core().compile_model(str(HERE / "model.onnx"), settings["device"], config)


def run(session, feeds, names):
    """Outputs by name."""
    found = session(feeds)
    return {name: found[session.output(name)] for name in names}'''

_OV_IMPORTS = """
# openvino tells its maker whenever it is imported, unless its telemetry is not there
sys.modules.setdefault("openvino_telemetry", None)
import openvino"""

#: runtime of a target → what its export has
LOADERS: Mapping[str, Loader] = MappingProxyType(
    {
        "onnxruntime": Loader(
            text=_TEXT.substitute(
                package="onnxruntime",
                plain="ignores session.json, which is how a file is loaded by people who never read this.",
                imports="import onnxruntime",
                functions=_ORT,
            ),
            plain="default session options",
            settings="session options",
        ),
        "openvino": Loader(
            text=_TEXT.substitute(
                package="openvino",
                plain="ignores session.json but for the precision, which OpenVINO would choose by the CPU.",
                imports=_OV_IMPORTS,
                functions=_OV,
            ),
            plain="default properties",
            settings="properties",
            caution=(
                "Loaded without these properties it is computed in the precision that OpenVINO prefers on the CPU,\n"
                "bfloat16 where there is one, and its outputs are not the measured ones."
            ),
        ),
    }
)
