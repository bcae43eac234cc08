"""A prepared dataset as training sees it: labels in memory, inputs by random access, normalisers.

Lengths are in frames for LLDs and in samples for waveforms.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, Num, Shaped

from sersl_jax import checksums
from sersl_jax.datasets import identity
from sersl_jax.datasets import load as load_builder

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

    Raises ValueError where the dataset was prepared without `input_name`, or as tfrecord files, or
    a file of it is damaged.
    """
    builder = load_builder(name, data_dir)
    folder = Path(builder.data_path)
    checksums.check(folder, "prepare it again with --overwrite; what was measured is kept")
    metadata = identity.read_metadata(folder)
    if input_name not in metadata["features"]:
        raise ValueError(
            f"dataset {name} holds no {input_name}: prepare it with --features=llds,{input_name}"
        )
    if metadata["file_format"] == "tfrecord":
        raise ValueError(
            f"dataset {name} is in tfrecord files, for tf.data: prepare it in another --data_dir "
            "without --file_format to train on it"
        )
    # TFDS hides the signature behind a decorator.
    source = builder.as_data_source("train")  # pyright: ignore[reportCallIssue]
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


def join(datasets: Sequence[Dataset]) -> Dataset:
    """Several datasets as one, each with the labels of its own thresholds.

    Speakers are kept apart by their dataset's name; tasks that only some have are left out. Raises
    ValueError, naming the datasets, where features were extracted or classes are numbered
    differently.
    """
    first = datasets[0]
    if len(datasets) == 1:
        return first
    tasks = [name for name in first.labels if all(name in d.labels for d in datasets)]
    for other in datasets[1:]:
        _check_alike(first, other, tasks)
    examples = [
        d.examples.assign(speaker_id=d.name + "/" + d.examples["speaker_id"]) for d in datasets
    ]
    return Dataset(
        name=",".join(d.name for d in datasets),
        input_name=first.input_name,
        examples=pd.concat(examples, ignore_index=True),
        labels={name: np.concatenate([d.labels[name] for d in datasets]) for name in tasks},
        label_names={name: first.label_names[name] for name in tasks},
        lengths=np.concatenate([d.lengths for d in datasets]),
        votes=None,
        metadata={**first.metadata, "joined": {d.name: d.metadata for d in datasets}},
        source=_Joined([d.source for d in datasets]),
    )


def _check_alike(one: Dataset, other: Dataset, tasks: Sequence[str]) -> None:
    differing = [t for t in tasks if one.label_names[t] != other.label_names[t]]
    made = [
        {"measure_version": d.metadata.get("measure_version")} | d.metadata["options"]
        for d in (one, other)
    ]
    options = made[0].keys() & made[1].keys() - {"features", "classes"}  # the latter name labels
    differing += sorted(name for name in options if made[0][name] != made[1][name])
    if differing:
        raise ValueError(
            f"datasets {one.name} and {other.name} differ in {', '.join(differing)}: prepare them "
            "with the same options"
        )


class _Joined:
    """Random access over several sources in a row."""

    def __init__(self, sources: Sequence[Any]):
        self._sources = sources
        self._ends = np.cumsum([len(source) for source in sources])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> Any:
        number = int(np.searchsorted(self._ends, index, side="right"))
        start = self._ends[number - 1] if number else 0
        return self._sources[number][int(index - start)]


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
