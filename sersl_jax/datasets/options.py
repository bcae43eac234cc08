"""What a person may choose when preparing a dataset; stored in the dataset's metadata."""

import importlib.util
import math
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, TypeVar

from sersl_jax.datasets.classes import parse
from sersl_jax.features import llds
from sersl_jax.pretext import registry

FEATURES = ("llds", "waveform")
# Raise it when `measure` gives other LLDs or waveforms, or cuts other windows, for the same input;
# scores have a version of their own (`pretext.registry.PretextTask`).
MEASURE_VERSION = 2


@dataclass(frozen=True)
class SpeechOptions:
    """What is stored of the sound and, of speech, which emotions are taken.

    Attributes:
      features: `llds`, or `llds` and `waveform`.
      pitch_window: seconds (see `features.llds`).
      classes: None for all of the corpus's emotions; "happiness+excited" makes two of them one.
    """

    features: tuple[str, ...] = ("llds",)
    pitch_window: float = 0.060
    classes: tuple[str, ...] | None = None
    RELABEL: ClassVar[frozenset[str]] = frozenset()  # options that stored scores can follow

    def __post_init__(self):
        """Refuses a misspelt choice."""
        unknown = {*self.features} - {*FEATURES}
        if unknown or "llds" not in self.features:
            raise ValueError(f"features: {','.join(self.features)} is not llds or llds,waveform")
        llds.check_pitch_window(self.pitch_window)
        if self.classes is not None:
            parse(self.classes)

    def stamp(self) -> dict[str, Any]:
        """The options as JSON values, for the metadata."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    def measured(self) -> dict[str, Any]:
        """Those options that change what is measured: the rest only changes labels."""
        labels = self.RELABEL | {"classes"}
        return {name: v for name, v in self.stamp().items() if name not in labels}


@dataclass(frozen=True)
class PretextOptions(SpeechOptions):
    """Windows in seconds (Sec. 3) and the choices behind the labels (`sersl_jax.pretext`)."""

    window: float = 2.0
    hop: float = 1.5
    frame_of_reference: str = "image"
    match: str = "any"
    min_proportion: float = 0.1
    face_backend: str = "openface"
    RELABEL: ClassVar[frozenset[str]] = frozenset(
        name for task in registry.TASKS.values() for name in task.label_options
    ) - {name for task in registry.TASKS.values() for name in task.score_options}

    def __post_init__(self):
        """Refuses a misspelt choice."""
        super().__post_init__()
        if self.classes is not None:
            raise ValueError("--classes is no option of a pretext dataset: it has no emotions")
        choices = {
            "frame_of_reference": ("image", "face"),
            "match": ("any", "all"),
            "face_backend": ("openface", "mediapipe"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name}: {getattr(self, name)!r} is none of {', '.join(allowed)}")
        right = 0.1 <= self.window < math.inf and 0 < self.hop < math.inf
        if not right or not 0 < self.min_proportion <= 1:
            raise ValueError(
                f"window >= 0.1 s, hop > 0 s and 0 < min_proportion <= 1 are needed, not "
                f"{self.window}, {self.hop} and {self.min_proportion}"
            )


OptionsT = TypeVar("OptionsT", bound=SpeechOptions)


def create(kind: type[OptionsT], **given: Any) -> OptionsT:
    """Raises ValueError, naming the option, where this kind of dataset has no such option."""
    known = [field.name for field in fields(kind)]
    for name in given:
        if name not in known:
            raise ValueError(f"--{name} is no option of this dataset: {', '.join(known)}")
    values: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in given.items()}
    return kind(**values)


def check_format(file_format: str) -> None:
    """Raises ValueError for a format that can't be written here."""
    if file_format not in ("array_record", "tfrecord"):
        raise ValueError(f"--file_format={file_format} is neither array_record nor tfrecord")
    # Not imported: openSMILE crashes in a process that TensorFlow was imported into.
    if file_format == "tfrecord" and not importlib.util.find_spec("tensorflow"):
        raise ValueError("--file_format=tfrecord needs TensorFlow: pip install 'sersl_jax[tf]'")
