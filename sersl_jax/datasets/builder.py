"""What the two dataset builders share: measure every clip, then write shards from the cache.

Built on TFDS's `ShardBasedBuilder`: a shard is written from the clips it holds, one after the
other, so that memory depends on a shard's size, not on the corpus's, and under Beam every shard
is one task. (TFDS's shuffling builder holds 1 GB in memory and needs TensorFlow beyond that.)
Examples keep the corpus's order; whoever trains, shuffles.
"""

import functools
import importlib.metadata
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from sersl_jax import corpora
from sersl_jax.corpora import Clip
from sersl_jax.datasets import ledger
from sersl_jax.datasets.ledger import Entry
from sersl_jax.datasets.measure import Measured, measure
from sersl_jax.datasets.options import SpeechOptions
from sersl_jax.pretext.registry import PretextTask

SHARD_BYTES = 128 << 20
_STAMPED = ("sersl_jax", "tensorflow-datasets", "opensmile", "librosa", "numpy", "av", "soundfile")

Example = tuple[int, dict[str, Any]]
Measure = Callable[[Clip], Measured]
Map = Callable[[Measure, Sequence[Clip]], Iterable[Measured]]
Watch = Callable[[Iterator[Example]], Iterator[Example]]


class Builder(tfds.core.ShardBasedBuilder, skip_registration=True):
    """One dataset of one corpus. `clips` and `cache` are needed to prepare, not to read."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First version."}
    OPTIONS: ClassVar[type[SpeechOptions]] = SpeechOptions
    TASKS: ClassVar[Mapping[str, PretextTask]] = {}  # that are measured

    def __init__(
        self,
        *,
        clips: Sequence[Clip] = (),
        options: SpeechOptions | None = None,
        cache: Path | None = None,
        stamp: Mapping[str, Any] | None = None,
        map_clips: Map = map,
        watch: Watch = iter,
        strict: bool = False,
        **kwargs: Any,
    ):
        """`map_clips` runs the measurements, in order; every example goes through `watch`.

        `stamp` goes into the metadata; `strict` refuses to leave a clip out.
        """
        self._clips = clips
        self._options = options or self.OPTIONS()
        self._cache = cache
        self._stamp = stamp or {}
        self._map_clips = map_clips
        self._watch = watch
        self._strict = strict
        super().__init__(**kwargs)

    def _shard_iterators_per_split(self, dl_manager: Any) -> dict[str, list]:
        """First pass, ledger, metadata; then a generator of examples for every shard."""
        if not self._clips or self._cache is None:
            raise ValueError(f"prepare {self.name} with python -m sersl_jax.prepare")
        measured, lines = self._measure()
        usable = [clip for clip in measured if clip.path]
        failures = [line for line in lines if line.stage in ledger.LOST]
        if not usable or (self._strict and failures):
            kept = Path(self.data_path).parent / ledger.NAME
            ledger.write(kept, lines)
            raise ValueError(
                f"{len(measured) - len(usable)} of {len(measured)} clips of "
                f"{self.name}/{self.builder_config_name} can't be used"
                f"{' and --strict was given' if usable else ''}; first {failures[0].clip}: "
                f"{failures[0].reason}; all in {kept}"
            )
        ledger.write(Path(self.data_path) / ledger.NAME, lines)
        labels, metadata = self._label(usable)
        self._write_metadata(usable, metadata)
        shards = _shards(usable)
        bounds = np.cumsum([0] + [sum(len(clip.starts) for clip in shard) for shard in shards])
        return {
            "train": [
                functools.partial(
                    _examples,
                    self.generate,
                    self._watch,
                    shard=shard,
                    labels={task: values[first:last] for task, values in labels.items()},
                    features=self._options.features,
                    first=int(first),
                )
                for shard, (first, last) in zip(shards, itertools.pairwise(bounds), strict=True)
            ]
        }

    def _measure(self) -> tuple[list[Measured], list[Entry]]:
        """Every clip once, in order, and the whole ledger."""
        clips, doubles = {}, []
        for clip in self._clips:
            if clip.id in clips:
                doubles.append(Entry(clip.id, "corpus", f"{clip.media.name}: a clip of this name "
                                    f"exists, {clips[clip.id].media.name} is used"))  # fmt: skip
            clips.setdefault(clip.id, clip)
        assert self._cache is not None
        # All that a process needs is in here: it may not have declared the same tasks.
        run = functools.partial(
            measure, options=self._options, cache=self._cache, tasks=tuple(self.TASKS.values())
        )
        measured = list(self._map_clips(run, list(clips.values())))
        measured = [self._check(clip) for clip in measured]
        lines = doubles + [line for clip in measured for line in clip.lines]
        return measured, lines + duplicates(measured)

    def _check(self, measured: Measured) -> Measured:
        """A builder's own demands on a clip; overridden where there are any."""
        return measured

    def _label(self, usable: list[Measured]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Second pass: labels per task, one per segment, and what the metadata says of them."""
        raise NotImplementedError

    @staticmethod
    def generate(
        shard: list[Measured],
        labels: Mapping[str, np.ndarray],
        features: tuple[str, ...],
        first: int,
    ) -> Iterator[Example]:
        """Yields (key, example) of one shard, keys counting from `first`."""
        raise NotImplementedError

    def _write_metadata(self, usable: list[Measured], metadata: dict[str, Any]) -> None:
        assert self.info.metadata is not None
        self.info.metadata.update(
            **metadata,
            features=list(self._options.features),
            options=self._options.stamp(),
            versions={name: _version(name) for name in _STAMPED},
            num_clips=len(usable),
            num_speakers=len({clip.clip.speaker_id for clip in usable}),
            seconds=round(math.fsum(clip.seconds for clip in usable), 3),
            **self._stamp,
        )

    def _log_download_bytes(self) -> None:
        """Silences TFDS: nothing is downloaded."""

    def _log_download_done(self) -> None:
        """Silences TFDS: `prepare` reports what was made."""

    def create_info(self, features: dict[str, Any], **metadata: Any) -> tfds.core.DatasetInfo:
        """The dataset's description; `features` are those beside the sound's."""
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features),
            metadata=tfds.core.MetadataDict(metadata),
            disable_shuffling=True,
        )


def _examples(
    generate: Callable[..., Iterator[Example]], watch: Watch, **shard: Any
) -> Iterator[Example]:
    return watch(generate(**shard))


def count(bar: tqdm, examples: Iterator[Example]) -> Iterator[Example]:
    """A `watch` that advances a progress bar."""
    for example in examples:
        yield example
        bar.update()


def duplicates(measured: list[Measured]) -> list[Entry]:
    """A note for every clip whose samples equal those of an earlier one."""
    first, lines = {}, []
    for clip in measured:
        if clip.path and clip.sha256 in first:
            lines.append(Entry(clip.clip.id, "note", f"same sound as {first[clip.sha256]}"))
        first.setdefault(clip.sha256, clip.clip.id)
    return lines


def configs() -> list[tfds.core.BuilderConfig]:
    """A BuilderConfig for every corpus that there is."""
    return [
        tfds.core.BuilderConfig(name=name, description=f"Read by sersl_jax/corpora/{name}.py.")
        for name in corpora.names()
    ]


def tensor(shape: tuple[int | None, ...], dtype: type) -> tfds.features.Tensor:
    """An array stored as bytes: ten times faster to write and read than as numbers."""
    return tfds.features.Tensor(shape=shape, dtype=dtype, encoding="bytes")


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # a checkout that is run without installing
        return "not installed"


def _shards(usable: list[Measured]) -> list[list[Measured]]:
    """Cuts the clips, in order, into shards of about `SHARD_BYTES`."""
    ends = np.cumsum([clip.nbytes for clip in usable])
    numbers = (ends - 1) // SHARD_BYTES
    cuts = np.flatnonzero(np.diff(numbers)) + 1
    bounds = [0, *cuts.tolist(), len(usable)]
    return [usable[a:b] for a, b in itertools.pairwise(bounds)]
