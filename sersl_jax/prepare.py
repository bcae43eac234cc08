"""Turns a corpus into a dataset: python -m sersl_jax.prepare --dataset=speech/crema_d --source=DIR.

Everything measured on a clip is cached, so that the same command after an interruption goes on
where it was, and, once done, returns at once.
"""

import fcntl
import functools
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags
from tqdm import tqdm

from sersl_jax import cli, corpora, datasets
from sersl_jax.corpora import Clip
from sersl_jax.datasets import ledger, options

if TYPE_CHECKING:
    from tensorflow_datasets.core import DatasetBuilder

OPTIONS = {"pretext": options.PretextOptions, "speech": options.SpeechOptions}


def prepare(
    dataset: str,
    source: str | Path | None = None,
    data_dir: str | Path | None = None,
    *,
    workers: int | None = None,
    limit: int | None = None,
    strict: bool = False,
    overwrite: bool = False,
    file_format: str = "array_record",
    **given: Any,
) -> "DatasetBuilder":
    """Makes `dataset` ("pretext/folder") from the corpus in `source`, if it isn't there yet.

    `given` are fields of `PretextOptions` or `SpeechOptions`; `limit` takes the first clips only.
    The embedded corpus ("synthetic") needs no source: it is written to `data_dir`.

    Raises:
        FileNotFoundError: the source, or a file that its corpus always has, is missing.
        ValueError: unknown corpus or option, no usable clip, an unusable clip with `strict`, or
            `data_dir` holds this dataset made otherwise and `overwrite` is not set.
    """
    kind, corpus = datasets.parse_name(dataset)
    data_dir = Path(data_dir or datasets.default_data_dir()).expanduser()
    chosen = OPTIONS[kind].create(**given)
    clips = read_clips(kind, corpus, source, data_dir, chosen)[:limit]
    stamp = {"file_format": file_format, "fingerprint": fingerprint(clips)}
    existing = datasets.find(dataset, data_dir)
    if existing and not overwrite and _is_same(existing, chosen, stamp, corpus):
        return datasets.load(dataset, data_dir)
    with _locked(data_dir / kind / corpus):
        _build(dataset, data_dir, clips, chosen, stamp, workers or os.cpu_count() or 1, strict)
    return datasets.load(dataset, data_dir)


def read_clips(
    kind: str,
    corpus: str,
    source: str | Path | None,
    data_dir: Path,
    chosen: options.SpeechOptions,
) -> list[Clip]:
    """The clips of a corpus, which for the embedded one is written first."""
    module = corpora.get(corpus)
    if corpus == "synthetic" and source is None:
        root = data_dir / f"synthetic_{module.VERSION}"
        write = module.write_pretext if kind == "pretext" else module.write_speech
        source = write(root / kind)
    if source is None:
        raise ValueError(f"--source is needed: the folder that holds the corpus {corpus}")
    source = Path(source).expanduser()
    if not source.is_dir():
        raise FileNotFoundError(f"--source={source} is no folder")
    backend = getattr(chosen, "face_backend", "openface")
    extra = {} if backend == "openface" else {"face_backend": backend}
    clips = list(module.clips(source, **extra))
    if not clips:
        raise FileNotFoundError(f"{source} holds no clip of the corpus {corpus}")
    return clips


def fingerprint(clips: Sequence[Clip]) -> str:
    """Changes when clips come or go, their labels change, or a file is written anew."""
    digest = hashlib.sha256()
    for clip in clips:
        stats = [_stat(path) for path in (clip.media, clip.face)]
        rest = [clip.id, clip.speaker_id, clip.start, clip.end, dict(clip.labels), clip.votes]
        digest.update(json.dumps([*stats, *rest], sort_keys=True, default=dict).encode())
    return digest.hexdigest()


def _stat(path: Path | None) -> tuple[int, int] | None:
    try:
        stat = path.stat() if path else None
    except OSError:
        return None
    return (stat.st_size, stat.st_mtime_ns) if stat else None


def _is_same(
    existing: Path, chosen: options.SpeechOptions, stamp: Mapping[str, Any], corpus: str
) -> bool:
    """Whether the dataset there was made in this way; raises ValueError, naming what differs."""
    metadata = json.loads((existing / "metadata.json").read_text())
    there = metadata["options"] | {name: metadata[name] for name in stamp}
    wanted = chosen.stamp() | dict(stamp)
    differing = sorted(name for name in wanted if wanted[name] != there.get(name))
    if not differing:
        return True
    if corpus == "synthetic":  # ours, and made in seconds
        return False
    remedy = "--relabel" if {*differing} <= chosen.RELABEL else "--overwrite"
    said = ", ".join(
        "source (its files have changed)"
        if name == "fingerprint"
        else f"{name} ({there.get(name)} there, {wanted[name]} wanted)"
        for name in differing
    )
    raise ValueError(f"{existing} differs in {said}: give {remedy}, or another --data_dir")


def _build(
    dataset: str,
    data_dir: Path,
    clips: Sequence[Clip],
    chosen: options.SpeechOptions,
    stamp: Mapping[str, Any],
    workers: int,
    strict: bool,
) -> None:
    """Measures, labels and writes with TFDS; an older dataset stays until then."""
    import tensorflow_datasets as tfds

    from sersl_jax.datasets import builder as builders

    kind, corpus = datasets.parse_name(dataset)
    cache = data_dir / "measured"
    measuring = functools.partial(_bar, desc="measure", unit="clip", total=len(clips))
    with tqdm(desc="write", unit="example", disable=None, mininterval=0.5) as bar:
        builder = create_builder(
            kind,
            config=corpus,
            data_dir=str(data_dir),
            file_format=stamp["file_format"],
            clips=clips,
            options=chosen,
            cache=cache,
            stamp=stamp,
            map_clips=builders.thread_map(workers, measuring),
            watch=functools.partial(_count, bar),
            strict=strict,
        )
        mode = tfds.download.GenerateMode.REUSE_CACHE_IF_EXISTS
        builder.download_and_prepare(
            download_dir=cache / "downloads",
            download_config=tfds.download.DownloadConfig(download_mode=mode),
        )
    _report(dataset, Path(builder.data_path))


def create_builder(kind: str, **arguments: Any) -> "DatasetBuilder":
    """The TFDS builder of `pretext` or `speech` (imported late: TFDS and librosa take a second)."""
    if kind == "pretext":
        from sersl_jax.datasets.pretext.pretext_dataset_builder import Builder
    else:
        from sersl_jax.datasets.speech.speech_dataset_builder import Builder
    return Builder(**arguments)


def _bar(iterable: Iterable, **kwargs: Any) -> Iterable:
    return tqdm(iterable, disable=None, mininterval=0.5, smoothing=0.05, **kwargs)


def _count(bar: tqdm, examples: Iterator) -> Iterator:
    for example in examples:
        yield example
        bar.update()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time prepares a dataset; what a killed one left is removed."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ValueError(f"another process prepares {folder}: wait for it") from None
        for left in folder.glob("*incomplete*"):
            shutil.rmtree(left)
        yield


def _report(dataset: str, folder: Path) -> None:
    """Prints what was made and what was lost, on stderr."""
    metadata = json.loads((folder / "metadata.json").read_text())
    lines = ledger.read(folder / ledger.NAME)
    print(
        f"{dataset}: {metadata['num_clips']} clips of {metadata['num_speakers']} speakers, "
        f"{metadata['seconds'] / 3600:.2f} h, in {folder}",
        *(f"  {task}: {counts}" for task, counts in metadata["class_balance"].items()),
        *([f"ledger ({folder / ledger.NAME}):", ledger.totals(lines)] if lines else []),
        sep="\n",
        file=sys.stderr,
    )


def define_flags() -> None:
    """The command's flags (not at import: `main` imports this module and has its own)."""
    flags.DEFINE_string("dataset", None, "pretext/CORPUS or speech/CORPUS.", required=True)
    flags.DEFINE_string("source", None, "Folder of the corpus.")
    flags.DEFINE_string("data_dir", None, "Where datasets go ($SERSL_DATA_DIR).")
    flags.DEFINE_integer("workers", None, "Clips measured at a time (default: cores).")
    flags.DEFINE_integer("limit", None, "Take the first clips only.")
    flags.DEFINE_bool("strict", False, "Fail if any clip can't be used.")
    flags.DEFINE_bool("overwrite", False, "Replace a dataset that was made otherwise.")
    flags.DEFINE_string("file_format", "array_record", "array_record, or tfrecord with [tf].")
    flags.DEFINE_list("features", None, "llds, or llds,waveform.")
    flags.DEFINE_float("pitch_window", None, "Seconds of the pitch window.")
    flags.DEFINE_float("window", None, "Seconds of a pretext window.")
    flags.DEFINE_float("hop", None, "Seconds between pretext windows.")
    flags.DEFINE_enum("frame_of_reference", None, ["image", "face"], "Of face movement.")
    flags.DEFINE_enum("match", None, ["any", "all"], "Top action units that an emotion needs.")
    flags.DEFINE_float("min_proportion", None, "Share of frames from which on a unit is present.")
    flags.DEFINE_enum("face_backend", None, ["openface", "mediapipe"], "Who tracked the faces.")


def main(argv: Sequence[str]) -> int:
    """Runs the command; 0 unless nothing could be used."""
    if argv[1:]:
        raise ValueError(f"unknown argument {argv[1]!r}: flags look like --source=DIR")
    values = {flag.name: flag.value for flag in flags.FLAGS.flags_by_module_dict()[argv[0]]}
    prepare(**{name: value for name, value in values.items() if value is not None})
    return 0


if __name__ == "__main__":
    define_flags()
    cli.run(main)
