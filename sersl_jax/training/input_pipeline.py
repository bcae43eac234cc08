"""Examples to batches: on the device where a dataset fits, streamed from disk where it doesn't.

Both paths follow the same plan (which examples make up each step's batch), so that they give the
same parameters.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, Shaped

from sersl_jax import sharding
from sersl_jax.datasets.dataset import Dataset
from sersl_jax.training.normaliser import Normaliser, SpeakerStatistics, from_frames

INT16_SCALE = 32768.0


@dataclass(frozen=True)
class Step:
    """One training or evaluation step: the padded length and each member's examples.

    An index of -1 fills a batch; the batch's mask is False there.
    """

    length: int
    indices: Int[np.ndarray, "members batch"]


def plan_epoch(
    members: Sequence[Int[np.ndarray, " _"]],
    lengths: Int[np.ndarray, " all_examples"],
    batch_size: int,
    bucket: int,
    shuffles: Sequence[np.random.Generator] | None,
    order: np.random.Generator | None,
) -> list[Step]:
    """Every member's examples once, in batches of similar length.

    Lengths are rounded up to multiples of `bucket` (or to the longest). A member's batches depend
    on its own examples and generator alone, and their order on `order` alone, so that a member gets
    the same result as if it were trained alone. Without generators: no shuffling (evaluation).
    """
    batches = []
    for number, examples in enumerate(members):
        if shuffles is not None:
            examples = shuffles[number].permutation(examples)
        buckets = -(-lengths[examples] // bucket)
        examples = examples[np.argsort(buckets, kind="stable")]
        examples = np.pad(examples, (0, -len(examples) % batch_size), constant_values=-1)
        batches.append(examples.reshape(-1, batch_size))
    number = max(map(len, batches))
    indices = np.full((number, len(members), batch_size), -1, np.int32)
    for member, rows in enumerate(batches):
        indices[: len(rows), member] = rows
    longest = np.where(indices >= 0, lengths[indices], 0).max(axis=(1, 2))
    sizes = np.minimum(-(-longest // bucket) * bucket, lengths.max())
    steps = [Step(int(size), rows) for size, rows in zip(sizes, indices, strict=True)]
    if order is not None:
        # Drawing one number a step keeps the order of the first steps whatever their number.
        steps = [steps[i] for i in np.argsort(order.random(number), kind="stable")]
    return steps


# Pytrees carry arrays of any kind through JAX's transformations: their shapes stand in comments.
@struct.dataclass
class Batch:
    """What a step sees; leading axes (steps and) members."""

    inputs: Any  # [... batch time *features]
    lengths: Any  # int [... batch]
    labels: dict[str, Any]  # [... batch *classes]
    mask: Any  # bool [... batch], False on rows that only fill the batch


@struct.dataclass
class Resident:
    """A whole dataset on the device: inputs end to end, without padding."""

    flat: Any  # [total *features]
    starts: Any  # int [examples]
    lengths: Any  # int [examples]
    labels: dict[str, Any]  # [examples *classes]

    def gather(self, indices: Int[Array, " batch"], size: int) -> Batch:
        """The batch of these examples, zero beyond their lengths."""
        mask = indices >= 0
        rows = jnp.maximum(indices, 0)
        lengths = jnp.where(mask, self.lengths[rows], 0)
        time = jnp.arange(size)
        positions = self.starts[rows][:, None] + jnp.minimum(time, self.lengths[rows][:, None] - 1)
        inside = time < lengths[:, None]
        inside = inside.reshape(inside.shape + (1,) * (self.flat.ndim - 1))
        inputs = jnp.where(inside, self.flat[positions], jnp.zeros((), self.flat.dtype))
        labels = {task: values[rows] for task, values in self.labels.items()}
        return Batch(inputs, lengths, labels, mask)


@dataclass(frozen=True)
class Storage:
    """How inputs are kept: LLDs whitened (so that bfloat16 can hold them), waveforms as int16.

    With `scope="train"` they are whitened over the whole dataset, which is a mere format:
    `relative` undoes it, and what the network sees is normalised by training speakers alone. With
    the other scopes (see `normaliser`) they are kept as the network sees them.
    """

    dataset: Dataset
    base: Normaliser
    dtype: Any
    scope: str = "train"
    speakers: Mapping[str, Normaliser] = field(default_factory=dict)

    def read(self, index: int | np.integer) -> Shaped[np.ndarray, "time *features"]:
        """An example's input as it is kept."""
        x = self.dataset.read(index)
        return x if x.dtype == np.int16 else self.whiten(index, x).astype(self.dtype)

    def whiten(
        self, index: int | np.integer, x: Float[np.ndarray, "frames features"]
    ) -> Float[np.ndarray, "frames features"]:
        """An example's LLDs, normalised in this scope."""
        if self.scope == "utterance":
            own = from_frames(x)
        elif self.scope == "speaker":
            own = self.speakers[self.dataset.speaker_ids[index]]
        else:
            own = self.base
        return (x - own.mean) / own.std

    def relative(self, normaliser: Normaliser) -> Normaliser:
        """`normaliser` for inputs as they are kept, which are normalised already."""
        if self.scope != "train":
            return normaliser
        mean = (normaliser.mean - self.base.mean) / self.base.std
        return Normaliser(mean, normaliser.std / self.base.std)


def create_storage(
    dataset: Dataset, statistics: SpeakerStatistics, dtype: str, scope: str = "train"
) -> Storage:
    """float32 or bfloat16 storage of a dataset."""
    base = statistics.normaliser(sorted(statistics.count))
    speakers = {name: statistics.normaliser([name]) for name in statistics.count}
    return Storage(dataset, base, jnp.dtype(dtype), scope, speakers if scope == "speaker" else {})


def create_resident(storage: Storage) -> Resident:
    """Reads all inputs (host arrays; the caller puts them on the devices)."""
    dataset = storage.dataset
    starts = np.concatenate([[0], np.cumsum(dataset.lengths, dtype=np.int64)])
    first = storage.read(0)
    flat = np.empty((starts[-1], *first.shape[1:]), first.dtype)
    for index, start in enumerate(starts[:-1]):
        flat[start : start + dataset.lengths[index]] = storage.read(index)
    return Resident(flat, starts[:-1].astype(np.int32), dataset.lengths, dataset.labels)


def read_batch(storage: Storage, step: Step) -> Batch:
    """The batch of one step, read from disk: equal to `Resident.gather` of each member."""
    dataset = storage.dataset
    indices = step.indices
    first = storage.read(0)
    inputs = np.zeros((*indices.shape, step.length, *first.shape[1:]), first.dtype)
    for place in np.argwhere(indices >= 0):
        x = storage.read(int(indices[tuple(place)]))
        inputs[tuple(place)][: len(x)] = x
    rows = np.maximum(indices, 0)
    mask = indices >= 0
    labels = {task: values[rows] for task, values in dataset.labels.items()}
    return Batch(inputs, np.where(mask, dataset.lengths[rows], 0), labels, mask)


def stream(storage: Storage, steps: Sequence[Step]) -> Iterator[Batch]:
    """The batches of a plan, in order, read ahead by grain's threads."""
    import grain  # a fifth of a second, which data on the device need not wait for

    dataset = grain.MapDataset.range(len(steps)).map(
        lambda number: read_batch(storage, steps[number])
    )
    return iter(dataset.to_iter_dataset(grain.ReadOptions(num_threads=4, prefetch_buffer_size=8)))


def normalise(
    batch: Batch, normaliser: Normaliser, clip: float
) -> Float[Array, "batch time *features"]:
    """float32 inputs: z-normalised LLDs (clipped to +-`clip` unless 0), or samples in [-1, 1)."""
    if batch.inputs.dtype == jnp.int16:
        return batch.inputs.astype(jnp.float32) / INT16_SCALE
    x = (batch.inputs.astype(jnp.float32) - normaliser.mean) / normaliser.std
    if clip:
        x = jnp.clip(x, -clip, clip)
    inside = jnp.arange(x.shape[1])[None, :, None] < batch.lengths[:, None, None]
    return jnp.where(inside, x, 0.0)


@dataclass(frozen=True)
class Feed:
    """Brings planned steps to the devices.

    Attributes:
      storage: how inputs are kept.
      resident: the whole dataset on the devices, or None to stream it from disk.
      mesh: where batches go.
      max_steps: of a dispatch.
    """

    storage: Storage
    resident: Resident | None
    mesh: Mesh
    max_steps: int

    def dispatches(self, steps: Sequence[Step]) -> Iterator[tuple[int, int, Any]]:
        """Yields (padded length, number of steps, their batches, or their examples' indices).

        Neighbours of one length go together; the leading axis always has `max_steps` places, so
        that one compiled program a length serves all.
        """
        batches = stream(self.storage, steps) if self.resident is None else None
        for length, same in itertools.groupby(steps, key=lambda step: step.length):
            group = list(same)
            for first in range(0, len(group), self.max_steps):
                chunk = group[first : first + self.max_steps]
                if batches is None:
                    xs = [step.indices for step in chunk]
                else:
                    xs = [next(batches) for _ in chunk]
                xs += [xs[-1]] * (self.max_steps - len(chunk))
                stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *xs)
                placed = sharding.put(stacked, self.mesh, None, "member", "data")
                yield length, len(chunk), placed
