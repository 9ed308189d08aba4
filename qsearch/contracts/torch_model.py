"""What a user's torch factory returns: a module and an example of its inputs.

    def model() -> TorchModel:
        return TorchModel(module=net, inputs={"x": np.zeros((1, 3, 224, 224), np.float32)}, outputs=("logits",))

It runs once per job, in a child of its own, which exports the module to ONNX. Everything else works
on the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qsearch.contracts.task import Feeds


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchModel:
    """A module, an example of its inputs, and which of their axes are open."""

    #: torch.nn.Module with its trained parameters; it is exported in evaluation mode
    module: Any
    #: name of an argument of `forward` → example with its batch axis; the model's inputs have these names.
    #: A batch of two or more samples lets the file be checked on more than one size
    inputs: Feeds
    #: names of the outputs, in the order in which `forward` returns them
    outputs: tuple[str, ...] = ("output",)
    #: input → axis → name of its size; an input that is not named has an open first axis "batch"
    dynamic: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
