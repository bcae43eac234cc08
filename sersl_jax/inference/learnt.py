"""What a trained run has learnt emotions from, so that it is not tested on it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from sersl_jax import datasets
from sersl_jax.datasets.dataset import Dataset, join, read_dataset
from sersl_jax.evaluation.protocol import LeakError
from sersl_jax.inference.load import DEFAULT, load
from sersl_jax.training import checkpoint

OWN_FOLDERS = ("speech/folder",)  # one name for many corpora, told apart by their speakers alone


@dataclass(frozen=True)
class Learnt:
    """Whose emotions a run's members have learnt, those of the run that they started from too.

    Attributes:
      origin: the run, for messages.
      names: of the datasets.
      speakers: of all members, each with its dataset's name: `speech/crema_d/1001`.
      unknown: runs that it started from and that are gone.
    """

    origin: str
    names: frozenset[str]
    speakers: frozenset[str]
    unknown: tuple[str, ...] = ()

    def check_name(self, dataset: str) -> None:
        """Refuses a corpus by its name, before anything is prepared. Raises LeakError."""
        if dataset in self.names and dataset not in OWN_FOLDERS:
            raise LeakError(
                f"{self.origin} has learnt the emotions of {dataset}'s speakers: test it on "
                "another corpus (its training has tested it on speakers that it never heard)"
            )

    def check(self, dataset: Dataset, clips: pd.DataFrame, trained: Dataset | None) -> None:
        """Refuses speakers that were learnt, and clips that are byte-identical to one in `trained`.

        Raises LeakError.
        """
        people = sorted({*clips["speaker_id"]})
        heard = [name for name in people if full_id(dataset.name, name) in self.speakers]
        if heard:
            raise LeakError(
                f"{self.origin} has learnt the emotions of speakers of {dataset.name}: "
                f"{_list(heard)}. If they are other people, give them other ids"
            )
        if trained is None:
            return
        own = [full_id(trained.name, name) in self.speakers for name in trained.speaker_ids]
        twins = clips[clips["sha256"].isin([*trained.examples["sha256"][own]])]
        if len(twins):
            raise LeakError(
                f"{self.origin} was trained on clips of {trained.name} that are byte-identical to "
                f"{_list([*twins['clip']])}"
            )


def of(info: Mapping[str, Any], origin: str) -> Learnt:
    """What the run with this `Ensemble.info` has learnt."""
    names, speakers, unknown = set(), set(), []
    for found in _lineage(info):
        if isinstance(found, str):
            unknown.append(found)
            continue
        own = [name.strip() for name in found["dataset"]["name"].split(",")]
        sides = [side for member in found.get("speakers", ()) for side in member.values()]
        ids = {speaker for side in sides for speaker in side}
        names |= {*own}
        speakers |= {full_id(found["dataset"]["name"], speaker) for speaker in ids}
    return Learnt(origin, frozenset(names), frozenset(speakers), tuple(unknown))


def full_id(dataset: str, speaker: str) -> str:
    """A speaker with the dataset's name before it, as those of joined datasets have it already."""
    return speaker if "," in dataset else f"{dataset}/{speaker}"


def find_trained(
    info: Mapping[str, Any], input_name: str, data_dirs: Sequence[str | None]
) -> Dataset | None:
    """The dataset that a run was trained on, in the first folder that holds it; None: nowhere.

    One that was prepared with other options, or lacks speakers, is not it.
    """
    if not info.get("speakers"):  # of a run from before they were stored
        return None
    names = [name.strip() for name in info["dataset"]["name"].split(",")]
    for data_dir in data_dirs:
        if all(datasets.find(name, data_dir) for name in names):
            found = join([read_dataset(name, data_dir, input_name) for name in names])
            if _is_same(found, info):
                return found
    return None


def _is_same(found: Dataset, info: Mapping[str, Any]) -> bool:
    needed = {s for member in info["speakers"] for side in member.values() for s in side}
    there, wanted = found.metadata["options"], info["dataset"].get("options", {})
    alike = all(there.get(name) == wanted.get(name) for name in ("pitch_window", "classes"))
    return alike and needed <= {*found.speaker_ids}


def _lineage(info: Mapping[str, Any]) -> Iterator[Mapping[str, Any] | str]:
    """Infos of the run and of those it was fine-tuned from; the path of one that is not there."""
    yield info
    origin = info["config"].get("finetune", {}).get("init_from", "")
    if origin in ("", "pretrain") or origin.endswith(".safetensors"):
        return
    if (Path(origin) / "pretrain").is_dir():  # pretext tasks alone
        return
    try:
        yield from _lineage(_read_info(origin))
    except (ValueError, OSError):
        yield origin


def _read_info(origin: str) -> Mapping[str, Any]:
    if origin == "default":
        return load(DEFAULT).ensemble.info
    try:
        return load(origin).ensemble.info
    except ValueError:  # a part of a run
        return checkpoint.read_model(origin).info


def _list(names: Sequence[str], limit: int = 6) -> str:
    rest = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + rest
