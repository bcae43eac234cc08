"""New thresholds and labels for a prepared dataset, from its stored scores: no media is read.

Records are changed as they lie on disk (`tf.train.Example` protocol buffers in array_record
files), which is ten times faster than decoding and encoding every example.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter
from jaxtyping import Int, Shaped
from tensorflow_datasets.proto import tf_example_pb2

from sersl_jax import checksums
from sersl_jax.datasets import identity, labels
from sersl_jax.datasets.options import PretextOptions, create
from sersl_jax.pretext import registry
from sersl_jax.pretext.registry import PretextTask


def relabel(folder: Path, options: PretextOptions) -> None:
    """Replaces the pretext dataset in `folder` by the same with the labels of `options`.

    It is replaced when the new one is whole. Raises ValueError where `options` would need
    other measurements, or the dataset isn't an array_record one.
    """
    checksums.check(folder, "prepare it again with --overwrite; what was measured is kept")
    metadata = identity.read_metadata(folder)
    made = create(PretextOptions, **metadata["options"])
    if made.measured() != options.measured():
        free = ", ".join(sorted(options.RELABEL))
        raise ValueError(f"--relabel can change {free} only: for others give --overwrite")
    shards = sorted(folder.glob("*.array_record-*"))
    if not shards:
        raise ValueError(f"{folder} holds no array_record file: give --overwrite, not --relabel")
    tasks = [registry.TASKS[name] for name in metadata["label_names"] if name in registry.TASKS]
    new_labels, said = labels.create(tasks, _scores(shards, tasks), options)
    said.pop("tasks")  # the scores stay those of the versions that measured them
    metadata |= {name: metadata[name] | values for name, values in said.items()}
    metadata["options"] = options.stamp()
    successor = folder.with_name(f"{folder.name}.incomplete_relabel")
    changed = shutil.ignore_patterns("*.array_record-*", "label_card.*", checksums.NAME)
    shutil.copytree(folder, successor, ignore=changed)
    first = 0
    for shard in shards:
        first += _rewrite(shard, successor / shard.name, new_labels, first)
    _write_metadata(successor, metadata)
    previous = folder.with_name(f"{folder.name}{identity.PREVIOUS}")
    folder.rename(previous)
    successor.rename(folder)
    shutil.rmtree(previous)


def _scores(
    shards: list[Path], tasks: Sequence[PretextTask]
) -> dict[str, Shaped[np.ndarray, "windows ..."]]:
    found: dict[str, list] = {task.name: [] for task in tasks}
    for shard in shards:
        for example in _read(shard):
            for task, values in found.items():
                values.append(_score(example.features.feature[f"scores/{task}"]))
    return {task: np.stack(values) for task, values in found.items()}


def _score(feature: Any) -> Shaped[np.ndarray, "..."]:
    """A stored score: a float, or an array as bytes."""
    if feature.bytes_list.value:
        return np.frombuffer(feature.bytes_list.value[0], np.float32)
    return np.array(feature.float_list.value[0], np.float32)


def _rewrite(
    source: Path, target: Path, new_labels: Mapping[str, Int[np.ndarray, " windows"]], first: int
) -> int:
    """Copies a shard with the labels from row `first` on; gives its number of examples."""
    writer, row = ArrayRecordWriter(str(target), "group_size:1"), first
    for row, example in enumerate(_read(source), first):
        for task, values in new_labels.items():
            example.features.feature[f"labels/{task}"].int64_list.value[:] = [int(values[row])]
        writer.write(example.SerializeToString(deterministic=True))
    writer.close()
    return row - first + 1


def _read(shard: Path) -> Iterator[Any]:
    reader = ArrayRecordReader(str(shard))
    for _ in range(reader.num_records()):
        # protobuf makes the class when it is imported.
        example = tf_example_pb2.Example  # pyright: ignore[reportAttributeAccessIssue]
        yield example.FromString(reader.read())
    reader.close()


def _write_metadata(folder: Path, metadata: dict[str, Any]) -> None:
    import tensorflow_datasets as tfds

    tfds.core.MetadataDict(metadata).save_metadata(str(folder))
