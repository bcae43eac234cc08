"""Utterances: LLDs, the emotion they were labelled with, and raters' votes where there are any."""

import dataclasses
import functools
import json
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core.features import Scalar, Text

from sersl_jax import corpora
from sersl_jax.datasets import builder, classes
from sersl_jax.datasets.labels import balance
from sersl_jax.datasets.ledger import Entry
from sersl_jax.datasets.measure import Measured, read
from sersl_jax.datasets.options import SpeechOptions
from sersl_jax.features import llds

VOTES = ("multimodal", "voice", "face")


class Builder(builder.Builder, skip_registration=True):  # `tfds.load` reads from the files
    """One example is one clip, whole."""

    OPTIONS = SpeechOptions
    BUILDER_CONFIGS: ClassVar = builder.configs()

    @functools.cached_property
    def classes(self) -> tuple[str, ...]:
        """As chosen, or the corpus's own; of a corpus without an order, its labels, sorted."""
        if self._options.classes is not None:
            return tuple(classes.parse(self._options.classes))
        fixed = getattr(corpora.get(self.builder_config_name or ""), "CLASSES", None)
        found = {clip.labels["emotion"] for clip in self._clips if "emotion" in clip.labels}
        return fixed or tuple(sorted(found))

    @functools.cached_property
    def scales(self) -> dict[str, tuple[float, float]]:
        """Ends of the scale of every attribute that is a number."""
        return corpora.scales(corpora.get(self.builder_config_name or ""), self._clips)

    def _info(self) -> tfds.core.DatasetInfo:
        features: dict[str, Any] = {
            "llds": builder.tensor((None, llds.NUM_LLDS), np.float32),
            "num_frames": Scalar(np.int32),
            "labels": {"emotion": Scalar(np.int64)},
            "votes": tfds.features.Tensor(shape=(len(VOTES), len(self.classes)), dtype=np.float32),
            "clip": Text(),
            "speaker_id": Text(),
            "attributes": Text(),
            "sha256": Text(),
        }
        if "waveform" in self._options.features:
            features["waveform"] = builder.tensor((None,), np.int16)
        return self.create_info(features, face_backend=None, approximate=False)

    def _check(self, measured: Measured) -> Measured:
        """A clip can be used that has one of the classes as its label or, without one, numbers."""
        label = measured.clip.labels.get("emotion")
        numbers = not label and {*self.scales} & {*measured.clip.attributes}
        if label in self.classes or numbers or not measured.path:
            return measured
        reason = f"unknown label {label!r}" if label else "no label"
        line = Entry(measured.clip.id, "corpus", reason)
        return dataclasses.replace(measured, path=None, lines=(line,))

    def _label(self, usable: list[Measured]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        names = {name: number for number, name in enumerate(self.classes)}
        emotion = np.array([names.get(clip.clip.labels.get("emotion", ""), -1) for clip in usable])
        votes = np.array([_votes(clip, len(names)) for clip in usable], np.float32)
        metadata = {
            "classes": list(names),
            "label_names": {"emotion": list(names)},
            "thresholds": {},
            "scales": {name: list(ends) for name, ends in self.scales.items()},
            "class_balance": {"emotion": balance(emotion, self.classes)},
        }
        return {"emotion": emotion, "votes": votes}, metadata

    @staticmethod
    def generate(
        shard: list[Measured],
        labels: Mapping[str, np.ndarray],
        features: tuple[str, ...],
        first: int,
    ) -> Iterator[builder.Example]:
        """Yields the shard's clips in order."""
        for row, measured in enumerate(shard):
            assert measured.path
            arrays = read(measured.path, features)
            yield (
                first + row,
                {
                    **{name: values[0] for name, values in arrays.items()},
                    "num_frames": arrays["llds"].shape[1],
                    "labels": {"emotion": labels["emotion"][row]},
                    "votes": labels["votes"][row],
                    "clip": measured.clip.id,
                    "speaker_id": measured.clip.speaker_id,
                    "attributes": json.dumps(dict(measured.clip.attributes)),
                    "sha256": measured.sha256,
                },
            )


def _votes(measured: Measured, num_classes: int) -> list[tuple[int, ...]]:
    """One row per modality of `VOTES`; zeros where nobody rated."""
    return [measured.clip.votes.get(kind, (0,) * num_classes) for kind in VOTES]
