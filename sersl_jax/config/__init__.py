"""Every field of a run: its type, its range, and where the paper has it. Defaults are the paper's.

Config files (`configs/`) change some of them in a ConfigDict; `create` checks it and makes these
dataclasses of it, which all code takes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, is_dataclass
from typing import Any, Literal, get_type_hints

from ml_collections import ConfigDict
from pydantic import TypeAdapter, ValidationError

from sersl_jax.config.model import (
    Checked,
    Count,
    Free,
    ModelConfig,
    Natural,
    NotNegative,
    Positive,
    Rate,
    Share,
)
from sersl_jax.config.target import EMOTION, LabelConfig, check_tasks
from sersl_jax.config.training import AugmentConfig, OptimizerConfig

PROTOCOLS = ("paper", "emosuperb", "hicmae", "leave_one_speaker_out", "corpus")


@dataclass(frozen=True)
class BucketConfig(Checked):
    """Lengths of batches are rounded up to a multiple of this."""

    llds: Count = 32  # frames
    waveform: Count = 16_000  # samples


@dataclass(frozen=True)
class DataConfig(Checked):
    """Prepared datasets and how inputs reach the network."""

    # Where prepared datasets are; "": $SERSL_DATA_DIR or the user's cache folder.
    data_dir: Free[str] = ""
    # device: the dataset on the device | stream: from disk | auto: by size
    residency: Free[Literal["auto", "device", "stream"]] = "auto"
    bucket: BucketConfig = BucketConfig()
    # Whose frames give the mean and SD of z-normalisation (Sec. 4.2 does not say): the training
    # speakers' | each speaker's own | each clip's own. Stamped on all results.
    normalise: Literal["train", "speaker", "utterance"] = "train"
    normaliser_clip: NotNegative = 0.0  # clip z-normalised LLDs to +- this; 0: not (the paper)
    dtype: Literal["float32", "bfloat16"] = "float32"  # of the LLDs kept on the device
    steps_per_dispatch: Free[Natural] = 0  # 0: 1 on a CPU; elsewhere 64, streamed 2
    pitch_window: Positive = 0.060  # s; 0.032 is the literal reading of Sec. 4.2


@dataclass(frozen=True, kw_only=True)
class StageConfig(Checked):
    """What both stages have."""

    dataset: str
    source: Free[str] = ""  # raw corpus; "": prepared already (or embedded)
    epochs: Count
    steps: Natural = 0  # instead of epochs, of the member with most batches; 0: by epochs
    patience: Natural = 0  # a member stops after so many epochs without a better one; 0: never
    batch_size: Count = 32  # Sec. 4.3
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    label_smoothing: Rate = 0.0
    # Of the exponential moving average of the parameters, which then are validated, kept and
    # tested in the place of the latest ones; 0: none.
    ema_decay: Rate = 0.0


@dataclass(frozen=True, kw_only=True)
class PretrainConfig(StageConfig):
    """Pretext tasks, or wav2vec 2.0's contrastive task."""

    dataset: str = "pretext/msp_face"
    objective: Literal["multitask", "wav2vec2"] = "multitask"
    # {method: {task: weight of its loss}}; one training a method, tasks not named weigh 0
    members: dict[str, dict[str, NotNegative]] = field(default_factory=dict)
    validation_fraction: Share = 0.1  # of the speakers
    epochs: Count = 300  # Sec. 4.3
    optimizer: OptimizerConfig = field(  # Sec. 4.3
        default_factory=lambda: OptimizerConfig(learning_rate=1e-4)
    )


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig(StageConfig):
    """Emotion recognition over the splits of a protocol."""

    dataset: str = "speech/crema_d"
    # pretrain: this run's | "": from scratch | default: the model in the package | the directory of
    # a run, of a group of its splits, or of an export | a .safetensors of the published wav2vec 2.0
    # (configs/wav2vec2_base.py)
    init_from: str = "pretrain"
    freeze: tuple[str, ...] = ()  # parameter paths that stay as they are: ("embed", "encoder")
    # What is learnt, tested and reported, and the weight of its loss: "emotion", attributes that
    # are numbers ("arousal", "valence" ...), or both.
    tasks: dict[str, Positive] = field(default_factory=lambda: {EMOTION: 1.0})
    # What is learnt beside it and never reported, with weights: raters' shares of votes
    # ("votes_voice" ...), the acted emotion ("intended"), or anything that the corpus knows of a
    # clip ("sex", "sentence", "arousal" ...). Epochs are chosen without them.
    helpers: dict[str, Positive] = field(default_factory=dict)
    attribute_loss: Literal["ccc", "mse"] = "ccc"  # of numbers such as arousal
    label: LabelConfig = field(default_factory=LabelConfig)
    protocol: str = "paper"  # one of PROTOCOLS, or a .json (evaluation.splits)
    num_splits: Free[Count] = 20  # Sec. 5; more of them may be asked for later
    allow_speaker_overlap: bool = False  # to reproduce others' numbers; stamped on all outputs
    parallel_members: Free[Natural] = 0  # splits trained at once; 0: by memory (on a CPU: devices)
    epochs: Count = 5  # Sec. 4.3
    # Of validation: the best epoch. macro_f1, accuracy: of emotion; ccc: of attributes, their mean;
    # loss: the paper's word (Sec. 4.3), which takes too early an epoch (docs/experiments.md).
    select: Literal["loss", "macro_f1", "accuracy", "ccc"] = "macro_f1"
    # Of the emotion's training loss, from each split's training clips: balanced is one over a
    # class's number of clips, sqrt its square root; 1 on average over the clips.
    class_weights: Literal["none", "balanced", "sqrt"] = "none"
    seeds: Count = 1  # trainings a split, whose probabilities are averaged

    def __post_init__(self):
        """Refuses tasks that are none, and to choose epochs by a metric that no task has."""
        check_tasks(self.tasks, self.helpers, self.select)
        if self.class_weights != "none" and EMOTION not in self.tasks:
            raise ValueError(
                f"config.finetune.class_weights={self.class_weights!r} needs 'emotion' among "
                "config.finetune.tasks: attributes have no classes"
            )


@dataclass(frozen=True)
class Config(Checked):
    """A run."""

    name: str = ""
    seed: Natural = 0
    stages: Free[tuple[Literal["pretrain", "finetune"], ...]] = ("pretrain", "finetune")
    # Of products; bfloat16 keeps parameters, softmax and loss in float32.
    dtype: Literal["float32", "bfloat16"] = "float32"
    profile: Free[bool] = False  # --profile: a trace of one group of steps of each training
    checkpoint_seconds: Free[NotNegative] = 60.0  # at most this much work is lost
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = DataConfig()
    pretrain: PretrainConfig = PretrainConfig()
    finetune: FinetuneConfig = FinetuneConfig()


_CONFIG = TypeAdapter(Config)


def create(config: ConfigDict | Mapping[str, Any]) -> Config:
    """The checked config; raises ValueError that names each wrong field and what it may be."""
    given = config.to_dict() if isinstance(config, ConfigDict) else config
    try:
        checked = _CONFIG.validate_python(given)
    except ValidationError as error:
        raise ValueError("; ".join(_message(dict(e)) for e in error.errors())) from None
    _check_together(checked)
    return checked


def _check_together(config: Config) -> None:
    """Refuses what each field allows, but not together."""
    if not config.name:
        raise ValueError("config.name is empty: it names the run and its default directory")
    if not config.stages:
        raise ValueError("config.stages is empty: take pretrain, finetune or both")
    splits = config.finetune.protocol
    if splits not in PROTOCOLS and not splits.endswith(".json"):
        raise ValueError(
            f"config.finetune.protocol={splits!r} should be one of {', '.join(PROTOCOLS)}, or a "
            ".json file"
        )
    if "pretrain" in config.stages:
        _check_pretrain(config)


def _check_pretrain(config: Config) -> None:
    if not config.pretrain.members:
        raise ValueError("config.pretrain.members names no method: see configs/ssl1.py")
    contrastive = config.pretrain.objective == "wav2vec2"
    if contrastive != (config.model.embed == "waveform"):
        raise ValueError(
            f"config.pretrain.objective={config.pretrain.objective} does not go with "
            f"config.model.embed={config.model.embed}: wav2vec2 needs waveform, multitask llds"
        )


_PLAIN = {
    "missing": "is missing in {input!r}",
    "tuple_type": "={input!r} should be several values in brackets, such as ('a', 'b') or (1,)",
    "unexpected_keyword_argument": "={input!r} is no field",
}


def _message(error: Mapping[str, Any]) -> str:
    """An error of pydantic's in one line: `config.finetune.epochs=0 should be ...`."""
    if error["type"] == "value_error":
        return error["msg"].removeprefix("Value error, ")
    name = ".".join(("config", *map(str, error["loc"])))
    if error["type"] in _PLAIN:
        said = _PLAIN[error["type"]].format(**error)
        return name + (said if said.startswith("=") else f" {said}")
    said = error["msg"].removeprefix("Input ").removeprefix("Tuple ")
    said = said.replace(" after validation", "")
    return f"{name}={error['input']!r} {said}"


def locked(config: Config) -> dict[str, Any]:
    """The fields that change a run's results, by their paths: `finetune.epochs` ..."""
    return _locked(config, "")


def _locked(config: Any, prefix: str) -> dict[str, Any]:
    found = {}
    for name, kind in get_type_hints(type(config), include_extras=True).items():
        value = getattr(config, name)
        if is_dataclass(value):
            found |= _locked(value, f"{prefix}{name}.")
        elif "free" not in getattr(kind, "__metadata__", ()):
            found[f"{prefix}{name}"] = value
    return found
