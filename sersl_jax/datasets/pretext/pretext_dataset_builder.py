"""Windows of talking faces: LLDs, the scores measured on sound and face, and pretext labels."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core.features import Scalar, Text

from sersl_jax.datasets import builder
from sersl_jax.datasets import labels as labels_lib
from sersl_jax.datasets.measure import Measured, read
from sersl_jax.datasets.options import PretextOptions
from sersl_jax.features import audio, llds
from sersl_jax.pretext import registry


class Builder(builder.Builder, skip_registration=True):  # `tfds.load` reads from the files
    """One example is one window; labels of -1 are unknown."""

    OPTIONS = PretextOptions
    TASKS = registry.TASKS
    BUILDER_CONFIGS: ClassVar = builder.configs()

    def _info(self) -> tfds.core.DatasetInfo:
        options = self._options
        assert isinstance(options, PretextOptions)
        samples = round(options.window * audio.SAMPLE_RATE)
        features: dict[str, Any] = {
            "llds": builder.tensor((llds.num_frames(samples), llds.NUM_LLDS), np.float32),
            "num_frames": Scalar(np.int32),
            "scores": {name: _score_feature(task) for name, task in self.TASKS.items()},
            "labels": {name: Scalar(np.int64) for name in self.TASKS},
            "clip": Text(),
            "segment": Scalar(np.int32),
            "start": Scalar(np.float32),
            "speaker_id": Text(),
        }
        if "waveform" in options.features:
            features["waveform"] = builder.tensor((samples,), np.int16)
        return self.create_info(
            features,
            face_backend=options.face_backend,
            approximate=options.face_backend != "openface",
        )

    def _label(self, usable: list[Measured]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        assert isinstance(self._options, PretextOptions)
        scores = {name: np.concatenate([c.scores[name] for c in usable]) for name in self.TASKS}
        labels, metadata = labels_lib.create([*self.TASKS.values()], scores, self._options)
        faces = [clip.mean_face for clip in usable if clip.mean_face is not None]
        mean_face = np.mean(faces, axis=0).round(4).tolist() if faces else None
        return labels, metadata | {"mean_face": mean_face}

    @staticmethod
    def generate(
        shard: list[Measured],
        labels: Mapping[str, np.ndarray],
        features: tuple[str, ...],
        first: int,
    ) -> Iterator[builder.Example]:
        """Yields the windows of a shard's clips in order."""
        row = 0
        for measured in shard:
            assert measured.path
            arrays = read(measured.path, features)
            for segment, start in enumerate(measured.starts):
                yield (
                    first + row,
                    {
                        **{name: values[segment] for name, values in arrays.items()},
                        "num_frames": arrays["llds"].shape[1],
                        "scores": {name: v[segment] for name, v in measured.scores.items()},
                        "labels": {task: values[row] for task, values in labels.items()},
                        "clip": measured.clip.id,
                        "segment": segment,
                        "start": start,
                        "speaker_id": measured.clip.speaker_id,
                    },
                )
                row += 1


def _score_feature(task: registry.PretextTask) -> Scalar | tfds.features.Tensor:
    return builder.tensor(task.shape, np.float32) if task.shape else Scalar(np.float32)
