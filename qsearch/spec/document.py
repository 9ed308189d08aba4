"""What may stand in a job spec or a target file, key by key. The JSON Schema is made from here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from qsearch.contracts.choices import DEFAULT, Choice
from qsearch.contracts.measurement import Tier
from qsearch.contracts.scenario import scenario_objection
from qsearch.spec.fields import (
    Count,
    Drop,
    Function,
    Latency,
    LayerChoice,
    Metric,
    Name,
    Objective,
    Option,
    Precision,
    Provider,
    RuntimeName,
    Sampler,
    Scenario,
    Seconds,
    Share,
    Size,
    Splits,
    Tally,
    Text,
    Trials,
    said,
)

#: most finalists that one final sitting holds beside fp32
MAX_FINALISTS = 6
#: tags of unions; they never show in a path
TAGS = ("<word>", "<mapping>")


class Document(BaseModel):
    """A mapping of known keys; an unknown one is refused, a number is never read from text."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)


def _word_or_mapping(value: Any) -> str:
    return TAGS[0] if isinstance(value, str) else TAGS[1]


def _two_different(objectives: list[str]) -> list[str]:
    if len(objectives) != 2 or objectives[0] == objectives[1]:
        raise said(f"expected two different objectives, found {', '.join(objectives) or 'none'}")
    return objectives


def _without_doubles(values: list[Any]) -> list[Any]:
    for i, value in enumerate(values):
        if value in values[:i]:
            raise said(f"{value} is named twice")
    return values


def _something_to_search(choices: list[Choice]) -> list[Choice]:
    objection = choices_objection(choices)
    if objection:
        raise said(objection)
    return choices


def choices_objection(choices: Sequence[Choice]) -> str:
    """Why these choices make no space, in one clause; empty when they do."""
    if Choice.FP32 not in choices:
        return "fp32 must be among the choices: it is the reference, and not to quantize can be the answer"
    if len(choices) == 1:
        return "expected a choice beside fp32; there is nothing to search"
    return ""


class ModelDocument(Document):
    """Where the model is: `path`, `package` and `file`, or `torch`."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [{"required": ["path"]}, {"required": ["package", "file"]}, {"required": ["torch"]}]
        },
    )

    path: Text | None = None
    """An .onnx file, relative to the spec."""
    package: Text | None = None
    """Name of an installed Python package that carries the model; it is not imported."""
    file: Text | None = None
    """The .onnx file within the package; the end of its path suffices where it is the only one."""

    torch: Function | None = None
    """`module:function` beside the spec or installed, which returns a `TorchModel`; it is exported to ONNX."""

    time_input: Text | None = None
    """The model's input that tells the step of its loop (noise level, time step), one number per sample: for `tdq`."""

    @model_validator(mode="before")
    @classmethod
    def _not_a_bare_path(cls, value: Any) -> Any:
        if isinstance(value, str):
            raise said(f"expected a mapping; write {{path: {value}}}")
        return value


class DataDocument(Document):
    """Samples without Python."""

    path: Text
    """An .npz, relative to the spec: one array per input of the model, first axis = samples, and `labels`."""
    splits: Splits = "auto"
    """How samples become calibration, search and held-out: `auto` deals them by the seed."""


class ConstraintsDocument(Document):
    """What the answer must keep."""

    drop: Drop | None = None
    """Largest loss of the metric: `1%` of fp32's own score, or `0.5pt` points."""
    size: Size | None = None
    """Largest file."""
    memory: Size | None = None
    """Largest peak memory of the process that runs the model."""
    latency: Latency | None = None
    """Longest median time of one inference."""


class RuntimeDocument(Document):
    """A runtime in an environment of its own."""

    name: RuntimeName = "onnxruntime"
    """What runs the model."""
    python: Text
    """The interpreter of an environment that has the runtime and numpy, relative to this file. QSearch need not be
    installed there."""


class ProviderDocument(Document):
    """A device of the runtime, with options."""

    name: Provider = "CPU"
    """The runtime's device."""
    options: dict[str, Option] = Field(default_factory=dict)
    """Options by the provider's own names, such as `{device_id: 1}`; one that it does not read back is refused."""


RuntimeEntry = Annotated[
    Annotated[RuntimeName, Tag(TAGS[0])] | Annotated[RuntimeDocument, Tag(TAGS[1])],
    Discriminator(_word_or_mapping),
]
ProviderEntry = Annotated[
    Annotated[Provider, Tag(TAGS[0])] | Annotated[ProviderDocument, Tag(TAGS[1])],
    Discriminator(_word_or_mapping),
]


class TargetDocument(Document):
    """Where a candidate must run."""

    name: Name | None = None
    """How tables name it; in a file of its own, the file's name."""
    runtime: RuntimeEntry = "onnxruntime"
    """What runs the model: its name, or `{name: onnxruntime, python: PATH}` for one in another environment."""
    provider: ProviderEntry = "CPU"
    """The runtime's device: its name, or `{name: CUDA, options: {device_id: 1}}`."""
    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    """Threads inside one operator."""
    batch: Annotated[int, Field(ge=1, le=65536)] = 1
    """Samples per inference."""
    scenario: Scenario | None = None
    """By MLPerf's names: `single_stream` is one sample at a time and its latency, `offline` samples per second at the
    batch size. When absent: single_stream for a batch of 1, else offline."""
    labels: dict[str, Text] = Field(default_factory=dict)
    """What a machine must carry, such as `{isa: avx2}`; empty matches every machine."""
    options: dict[str, Option] = Field(default_factory=dict)
    """Session options by the runtime's own names; `export` writes them beside the model."""

    @model_validator(mode="after")
    def _can_be_asked(self) -> TargetDocument:
        objection = scenario_objection(self.scenario or "", self.batch)
        if objection:
            raise said(objection)
        return self


class SpaceDocument(Document):
    """What the search may choose."""

    choices: Annotated[list[LayerChoice], AfterValidator(_without_doubles), AfterValidator(_something_to_search)] = (
        Field(
            default=list(DEFAULT),
            json_schema_extra={"minItems": 2, "uniqueItems": True, "contains": {"const": "fp32"}},
        )
    )
    """What a layer can get; fp32 is always among them."""
    pin: dict[str, LayerChoice] = Field(default_factory=dict)
    """Pattern over layer names (`*` and `?`) → the choice that is fixed there; the first match wins."""


class SearchDocument(Document):
    """How long, and by which method."""

    trials: Trials = 60
    """Budget: candidates measured, each on one target."""
    time: Seconds | None = None
    """Longest time of searching, finals not included; no limit when absent."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Equal seeds and equal measurements give equal candidates."""
    sampler: Sampler = "tpe"
    """What proposes candidates."""
    finalists: Annotated[int, Field(ge=1, le=MAX_FINALISTS)] = 3
    """How many are measured again at the end, head to head and on held-out samples."""
    racing: bool = True
    """Look at 1/8 and 1/2 of the search samples, and stop scoring a candidate that surely breaks the drop limit."""


TargetEntry = Annotated[
    Annotated[Text, Tag(TAGS[0])] | Annotated[TargetDocument, Tag(TAGS[1])],
    Discriminator(_word_or_mapping),
]
Sizes = Annotated[list[Count], Field(min_length=1), AfterValidator(_without_doubles)]
Shapes = Annotated[
    Annotated[Literal["data"], Tag(TAGS[0])] | Annotated[dict[str, Sizes], Tag(TAGS[1])],
    Discriminator(_word_or_mapping),
]


class ThresholdsDocument(Document):
    """One bound per signal; `never` switches a signal off. What is absent keeps its default, rejected/flagged."""

    steal: Share | None = None
    """Time the hypervisor gave to others, of the CPUs measured on: 3% / 1%."""
    wait: Share | None = None
    """Time the model's threads waited for a CPU: 3% / 1%."""
    foreign: Share | None = None
    """Work of other processes on those CPUs: 10% / 3%."""
    pressure: Share | None = None
    """Time in which some task of the whole machine waited for a CPU: never / 5%."""
    memory_pressure: Share | None = None
    """The same for memory: never / 1%."""
    throttled: Share | None = None
    """Time held back by a control group's quota: 0% / 0%."""
    major_faults: Tally | None = None
    """Pages read from disk during a block: 10 / 0."""
    clock: Share | None = None
    """How far the CPUs' clock was below this model's usual: 15% / 5%."""
    gpu_clock: Share | None = None
    """How far the GPU's clock was below what it is set to: 25% / 10%."""
    gpu_throttled: Tally | None = None
    """1 where the GPU slowed itself down for heat or power supply: 0 / 0."""
    gpu_foreign: Tally | None = None
    """Other processes on the GPU: 0 / 0."""
    canary: Share | None = None
    """How much a tiny fixed model's time changed within two rounds: 25% / 5%."""


class MeasurementDocument(Document):
    """When what happened beside a measurement counts. The latency itself is never looked at."""

    reject: ThresholdsDocument = Field(default_factory=ThresholdsDocument)
    """Above it the pair of blocks is not used; it is kept with the reason."""
    flag: ThresholdsDocument = Field(default_factory=ThresholdsDocument)
    """Above it, over all blocks that were used, the number is told with a flag."""


class SpecDocument(Document):
    """A QSearch job: a model, its data, a goal, where it must run, and a budget."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["task"]}, {"required": ["data"]}]},
    )

    name: Name | None = None
    """How tables and references name the job; the file's name when absent."""
    model: ModelDocument
    """Where the model is."""
    task: Function | None = None
    """Your own function, `module:function` beside the spec or installed: it gives samples and the metric."""
    data: DataDocument | None = None
    """Instead of a task: samples in an .npz."""
    metric: Metric | None = None
    """A built-in metric (top1 and retrieval@5 with any number), or with a task `module:function`. When absent: the
    task's own; with data, top1 where there are labels, else fidelity to fp32."""
    objectives: Annotated[list[Objective], AfterValidator(_two_different)] = Field(
        default=["latency", "drop"], json_schema_extra={"minItems": 2, "maxItems": 2, "uniqueItems": True}
    )
    """Two of: latency, drop, size, memory."""
    constraints: ConstraintsDocument = Field(default_factory=ConstraintsDocument)
    """What the answer must keep."""
    targets: Annotated[list[TargetEntry], Field(min_length=1)] = Field(default=["this-machine"])
    """Names (files in `targets/` beside the spec, then packaged ones), or targets written out."""
    shapes: Shapes = "data"
    """Input axis → sizes to measure at; `data` = the samples' own mix."""
    space: SpaceDocument = Field(default_factory=SpaceDocument)
    """What the search may choose."""
    search: SearchDocument = Field(default_factory=SearchDocument)
    """How long, and by which method."""
    precision: Precision = Tier.SCREEN
    """Care per trial: `screen` measures in two sessions of fresh processes, `quick` in one."""
    measurement: MeasurementDocument = Field(default_factory=MeasurementDocument)
    """When what happened beside a measurement counts."""
