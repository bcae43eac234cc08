"""Whose emotions a model has learnt: its own speakers', and those of the models it started from."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sersl_jax.config.target import EMOTION
from sersl_jax.training import checkpoint, export_folder


@dataclass(frozen=True)
class Lineage:
    """What a model and those that it was fine-tuned from have learnt emotions on.

    Attributes:
      datasets: their names.
      speakers: trained or chosen on, each with its dataset's name: `speech/crema_d/1001`.
      clips: ids of their clips, which tell the same recordings in another dataset; may be unknown.
      gone: models that one started from and that are not there any more.
    """

    datasets: frozenset[str] = frozenset()
    speakers: frozenset[str] = frozenset()
    clips: frozenset[str] = frozenset()
    gone: tuple[str, ...] = ()


def trace(info: Mapping[str, Any]) -> Lineage:
    """The lineage of the model with this `Ensemble.info`, or a checkpoint's."""
    names, speakers, clips, gone = set(), set(), set(), []
    for found in _ancestors(info):
        if isinstance(found, str):
            gone.append(found)
            continue
        name = found["dataset"]["name"]
        sides = [side for member in found.get("speakers", ()) for side in member.values()]
        names |= {one.strip() for one in name.split(",")}
        speakers |= {*full_ids(name, {speaker for side in sides for speaker in side})}
        clips |= {*found.get("clips", ())}
    return Lineage(frozenset(names), frozenset(speakers), frozenset(clips), tuple(gone))


def full_ids(dataset: str, speakers: Iterable[str]) -> list[str]:
    """Speakers with the dataset's name before them, as those of joined datasets have it already."""
    joined = "," in dataset
    return [speaker if joined else f"{dataset}/{speaker}" for speaker in speakers]


def has_learnt(info: Mapping[str, Any]) -> bool:
    """Whether a checkpoint has learnt what is recognised, and not pretext tasks alone."""
    reported = info["config"].get("finetune", {}).get("tasks") or [EMOTION]
    return bool({*reported} & {*info["tasks"]})


def _ancestors(info: Mapping[str, Any]) -> Iterator[Mapping[str, Any] | str]:
    """Infos of the model and of those it was fine-tuned from; the path of one that is gone."""
    yield info
    origin = info["config"].get("finetune", {}).get("init_from", "")
    if origin in ("", "pretrain") or origin.endswith(".safetensors"):
        return
    if (Path(origin) / "pretrain").is_dir():  # pretext tasks alone
        return
    try:
        found = _read_info(origin)
    except (ValueError, OSError):
        yield origin
        return
    if has_learnt(found):
        yield from _ancestors(found)


def _read_info(origin: str) -> Mapping[str, Any]:
    folder = export_folder.DEFAULT if origin == "default" else Path(origin)
    if export_folder.is_export(folder):
        return export_folder.read(folder)[1]["training"]
    return checkpoint.read_model(folder).info
