"""From a corpus to a prepared dataset, at most once.

Everything measured on a clip is cached, so that the same call after an interruption continues
where it stopped and, once the dataset is complete, returns at once.
"""

import functools
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from sersl_jax import checksums, datasets
from sersl_jax.corpora import Clip
from sersl_jax.datasets import identity, ledger, options
from sersl_jax.datasets.source import read_clips

if TYPE_CHECKING:
    from tensorflow_datasets.core import DatasetBuilder

OPTIONS = {"pretext": options.PretextOptions, "speech": options.SpeechOptions}
_CHECKED = ("dataset_info.json", "features.json", "metadata.json")  # and the shards


@dataclass(frozen=True)
class How:
    """How a dataset is made, which does not change it: processes, or Beam's runner and options."""

    workers: int
    strict: bool
    beam_runner: str | None
    beam_options: str


def prepare(
    dataset: str,
    source: str | Path | None = None,
    data_dir: str | Path | None = None,
    *,
    workers: int | None = None,
    limit: int | None = None,
    strict: bool = False,
    overwrite: bool = False,
    relabel: bool = False,
    track_faces: bool = False,
    file_format: str = "array_record",
    beam_runner: str | None = None,
    beam_options: str = "",
    **given: Any,
) -> "DatasetBuilder":
    """Makes `dataset` ("pretext/folder") from the corpus in `source`, if it isn't there yet.

    `given` are fields of `PretextOptions` or `SpeechOptions`; `limit` takes the first clips only.
    The embedded corpus ("synthetic") needs no source: it is written to `data_dir`. `relabel`
    changes the labels of a dataset that is there (`datasets.relabel`), and needs none either.
    `track_faces` first runs the face back-end on videos that have no CSV yet.
    `beam_runner` and `beam_options` name where Apache Beam runs (`launch/beam.md`).

    Raises:
        FileNotFoundError: the source, or a file that its corpus always has, is missing.
        ValueError: unknown corpus or option, no usable clip, an unusable clip with `strict`, or
            `data_dir` holds this dataset made otherwise and `overwrite` is not set.
    """
    kind, corpus = datasets.parse_name(dataset)
    options.check_format(file_format)
    data_dir = Path(data_dir or datasets.default_data_dir()).expanduser()
    if relabel:
        _relabel(dataset, data_dir, given)
        return datasets.load(dataset, data_dir)
    chosen = options.create(OPTIONS[kind], **given)
    workers = workers or os.cpu_count() or 1
    clips = read_clips(kind, corpus, source, data_dir, chosen, limit, track_faces * workers)
    stamp = {
        "file_format": file_format,
        "measure_version": options.MEASURE_VERSION,
        "fingerprint": identity.fingerprint(clips, with_faces=kind == "pretext"),
    }
    if overwrite or not _serves(dataset, data_dir, chosen, stamp):
        how = How(workers, strict, beam_runner, beam_options)
        with identity.locked(data_dir / kind / corpus):  # puts back what a kill left aside
            if overwrite or not _serves(dataset, data_dir, chosen, stamp):
                with identity.replacing(datasets.find(dataset, data_dir)):
                    _build(dataset, data_dir, clips, chosen, stamp, how)
    return datasets.load(dataset, data_dir)


def _serves(
    dataset: str, data_dir: Path, chosen: options.SpeechOptions, stamp: Mapping[str, Any]
) -> bool:
    """Whether there is a dataset that will do; says so where it lacks a task.

    Its summary is written where a kill came before. Raises ValueError where it differs, unless it
    is the embedded one: that is made in seconds.
    """
    existing = datasets.find(dataset, data_dir)
    if existing is None:
        return False
    missing = identity.missing_tasks(existing)
    if dataset.endswith("/synthetic"):
        if missing or not identity.is_same(existing, chosen, stamp):
            return False
    else:
        identity.check(existing, chosen, stamp)
        if missing:
            print(
                f"{dataset} was prepared before {', '.join(missing)} existed: give --overwrite to "
                "add it; what was measured is not measured again",
                file=sys.stderr,
            )
    if not (existing / "label_card.json").exists():
        _finish(dataset, existing)
    return True


def dry_run(
    dataset: str,
    source: str | Path | None = None,
    data_dir: str | Path | None = None,
    *,
    limit: int | None = None,
    **given: Any,
) -> str:
    """What `prepare` with the same arguments would find and make; only headers are read."""
    from sersl_jax.datasets.dry_run import survey

    kind, corpus = datasets.parse_name(dataset)
    known = {field.name for field in fields(OPTIONS[kind])}
    chosen = options.create(OPTIONS[kind], **{name: given[name] for name in given if name in known})
    data_dir = Path(data_dir or datasets.default_data_dir()).expanduser()
    return survey(read_clips(kind, corpus, source, data_dir, chosen, limit), chosen)


def _relabel(dataset: str, data_dir: Path, given: dict[str, Any]) -> None:
    from sersl_jax.datasets.relabel import relabel

    needed = f"--relabel needs a prepared pretext dataset: {dataset} in {data_dir}"
    if not dataset.startswith("pretext/") or not Path(data_dir, dataset).is_dir():
        raise ValueError(needed)
    with identity.locked(data_dir / dataset):  # puts back what a kill left aside
        existing = datasets.find(dataset, data_dir)
        if existing is None:
            raise ValueError(needed)
        stored = identity.read_metadata(existing)["options"]
        relabel(existing, options.create(options.PretextOptions, **(stored | given)))
    _finish(dataset, existing)


def _build(
    dataset: str,
    data_dir: Path,
    clips: Sequence[Clip],
    chosen: options.SpeechOptions,
    stamp: Mapping[str, Any],
    how: How,
) -> None:
    """Measures, labels and writes with TFDS."""
    import tensorflow_datasets as tfds

    from sersl_jax.datasets import builder as builders
    from sersl_jax.datasets import workers

    kind, corpus = datasets.parse_name(dataset)
    cache = data_dir / "measured"
    mode = tfds.download.GenerateMode.REUSE_CACHE_IF_EXISTS  # that is, replace the dataset
    config = tfds.download.DownloadConfig(download_mode=mode)
    with tqdm(desc="write", unit="example", disable=None, mininterval=0.5) as bar:
        maps, watch = (
            workers.process_map(how.workers),
            functools.partial(builders.count, bar),
        )
        if how.beam_runner:
            from sersl_jax.datasets import beam

            config.beam_runner = how.beam_runner
            config.beam_options = beam.pipeline_options(how.beam_options)
            maps, watch = beam.beam_map(how.beam_runner, how.beam_options), iter
        builder = datasets.create_builder(
            kind,
            config=corpus,
            data_dir=str(data_dir),
            file_format=stamp["file_format"],
            clips=clips,
            options=chosen,
            cache=cache,
            stamp=stamp,
            map_clips=maps,
            watch=watch,
            strict=how.strict,
        )
        builder.download_and_prepare(download_dir=cache / "downloads", download_config=config)
    _finish(dataset, Path(builder.data_path))


def _finish(dataset: str, folder: Path) -> None:
    """Summarises the labels and prints, on stderr, what was made and what was lost."""
    from sersl_jax.datasets import summary

    names = (path.name for path in folder.iterdir())
    checksums.write(folder, (name for name in names if "-of-" in name or name in _CHECKED))
    summary.write(folder)
    metadata = identity.read_metadata(folder)
    lines = ledger.read(folder / ledger.NAME)
    lost = len({line.clip for line in lines if line.stage in ledger.LOST})
    used = f"{metadata['num_clips']} " + (f"of {metadata['num_clips'] + lost} " if lost else "")
    print(
        f"{dataset}: {used}clips of {metadata['num_speakers']} speakers, "
        f"{metadata['seconds'] / 3600:.2f} h in {folder}",
        *(f"  {task}: {counts}" for task, counts in metadata["class_balance"].items()),
        *([f"ledger ({folder / ledger.NAME}):", ledger.totals(lines)] if lines else []),
        sep="\n",
        file=sys.stderr,
    )
