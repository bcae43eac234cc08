"""A prepared dataset as training sees it: labels in memory, inputs by random access, normalisers.

Lengths are in frames for LLDs and in samples for waveforms.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, Num, Shaped

from sersl_jax import datasets

INPUTS = ("llds", "waveform")


@dataclass(frozen=True)
class Dataset:
    """A prepared dataset: everything but the inputs in memory, the inputs by random access.

    Attributes:
      name: such as `pretext/folder`.
      input_name: `llds` or `waveform`.
      examples: one row an example: clip, speaker_id and what else the dataset tells.
      labels: class numbers of each task, -1 for unknown.
      label_names: class names of each task.
      lengths: of the inputs, in frames or samples.
      votes: raters' votes per example, modality and class, where there are any.
      metadata: the dataset's own (options, thresholds, versions).
      source: `source[i]["llds"]` reads example i.
    """

    name: str
    input_name: str
    examples: pd.DataFrame
    labels: dict[str, Num[np.ndarray, "examples *classes"]]
    label_names: dict[str, tuple[str, ...]]
    lengths: Int[np.ndarray, " examples"]
    votes: Float[np.ndarray, "examples 3 classes"] | None
    metadata: dict[str, Any]
    source: Any

    @property
    def speaker_ids(self) -> np.ndarray:
        """The speaker of every example."""
        return self.examples["speaker_id"].to_numpy()

    def read(self, index: int | np.integer) -> Shaped[np.ndarray, "time *features"]:
        """The input of one example: float32 LLDs, or int16 samples."""
        return np.asarray(self.source[int(index)][self.input_name])


def read_dataset(name: str, data_dir: str | None, input_name: str) -> Dataset:
    """Opens a prepared dataset and reads all but its inputs.

    Raises ValueError where the dataset was prepared without `input_name`, or as tfrecord files.
    """
    builder = datasets.load(name, data_dir)
    metadata = dict(builder.info.metadata)
    if input_name not in metadata["features"]:
        raise ValueError(
            f"dataset {name} holds no {input_name}: prepare it with --features=llds,{input_name}"
        )
    if metadata["file_format"] == "tfrecord":
        raise ValueError(
            f"dataset {name} is in tfrecord files, for tf.data: prepare it in another --data_dir "
            "without --file_format to train on it"
        )
    source = builder.as_data_source("train")
    rows, lengths = [], []
    for example in source:
        lengths.append(len(example[input_name]))
        rows.append({key: value for key, value in example.items() if key not in INPUTS})
    text = ("clip", "speaker_id", "attributes", "sha256")
    table = {key: [_text(row[key]) for row in rows] for key in text if key in rows[0]}
    labels = {
        task: np.array([row["labels"][task] for row in rows], np.int32)
        for task in rows[0]["labels"]
    }
    votes = np.array([row["votes"] for row in rows]) if "votes" in rows[0] else None
    return Dataset(
        name, input_name, pd.DataFrame(table), labels,
        {task: tuple(names) for task, names in metadata["label_names"].items()},
        np.array(lengths, np.int32), votes, metadata, source,
    )  # fmt: skip


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
