"""Whether the dataset on disk is the one that is asked for; and a lock for who makes it."""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sersl_jax import files
from sersl_jax.corpora import Clip
from sersl_jax.datasets.options import SpeechOptions
from sersl_jax.pretext import registry

PREVIOUS = ".previous"  # suffix of a dataset while its successor takes its place


def fingerprint(clips: Sequence[Clip], with_faces: bool = True) -> str:
    """Changes when clips come or go, what is known of them changes, or a file is written anew.

    Face tracks count with `with_faces`: speech datasets never read them.
    """
    digest = hashlib.sha256()
    for clip in clips:
        stats = [_stat(path) for path in (clip.media, clip.face if with_faces else None)]
        rest = [clip.id, clip.speaker_id, clip.start, clip.end]
        rest += [clip.labels, clip.votes, clip.attributes]
        digest.update(json.dumps([*stats, *rest], sort_keys=True, default=dict).encode())
    return digest.hexdigest()


def is_same(existing: Path, options: SpeechOptions, stamp: Mapping[str, Any]) -> bool:
    """Whether the dataset in `existing` was made from `stamp`'s clips with these options."""
    return not _differences(existing, options, stamp)


def check(existing: Path, options: SpeechOptions, stamp: Mapping[str, Any]) -> None:
    """Raises ValueError, naming what differs and the remedy, unless `is_same`."""
    differences = _differences(existing, options, stamp)
    if differences:
        remedy = "--relabel" if {*differences} <= options.RELABEL else "--overwrite"
        raise ValueError(
            f"{existing} differs in {', '.join(differences.values())}: "
            f"give {remedy}, or another --data_dir"
        )


def missing_tasks(existing: Path) -> list[str]:
    """Pretext tasks that were declared after the dataset in `existing` was made; it lacks them."""
    there = _task_versions(read_metadata(existing))
    return [name for name in registry.TASKS if there and name not in there]


def _task_versions(metadata: Mapping[str, Any]) -> dict[str, int]:
    """Versions of a pretext dataset's scores; 1 in one that was made before they had any."""
    pretext = {*metadata["label_names"]} & {*registry.TASKS}
    return metadata.get("tasks", dict.fromkeys(pretext, 1))


def _differences(
    existing: Path, options: SpeechOptions, stamp: Mapping[str, Any]
) -> dict[str, str]:
    metadata = read_metadata(existing)
    changed = {
        f"score of {name}": f"score of {name} (version {version} there, {task.version} wanted)"
        for name, version in _task_versions(metadata).items()
        if (task := registry.TASKS.get(name)) and task.version != version
    }
    there = metadata["options"] | {name: metadata.get(name) for name in stamp}
    wanted = options.stamp() | dict(stamp)
    said = {
        name: f"{name} ({there.get(name)} there, {value} wanted)"
        for name, value in wanted.items()
        if value != there.get(name)
    }
    return (
        said
        | changed
        | (
            {"fingerprint": "source (its files have changed, or more is read of them)"}
            if "fingerprint" in said
            else {}
        )
    )


def read_metadata(folder: Path) -> dict[str, Any]:
    """The metadata of a prepared dataset, without TFDS."""
    return files.read_json(folder / "metadata.json")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lets one process at a time change the datasets in `folder`; cleans up after a killed one."""
    with files.locked(folder, f"another process prepares {folder}: wait for it"):
        for left in folder.glob("*incomplete*"):
            shutil.rmtree(left)
        for previous in folder.glob(f"*{PREVIOUS}"):
            if (folder / previous.stem).exists():
                shutil.rmtree(previous)
            else:
                previous.rename(folder / previous.stem)
        yield


@contextmanager
def replacing(existing: Path | None) -> Iterator[None]:
    """Puts a dataset aside while its successor is made, and back where that fails."""
    if existing is None:
        yield
        return
    previous = existing.with_name(f"{existing.name}{PREVIOUS}")
    existing.rename(previous)
    try:
        yield
    finally:
        if existing.exists():
            shutil.rmtree(previous)
        else:
            previous.rename(existing)


def _stat(path: Path | None) -> tuple[int, int] | None:
    try:
        stat = path.stat() if path else None
    except OSError:
        return None
    return (stat.st_size, stat.st_mtime_ns) if stat else None
