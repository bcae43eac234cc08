"""What a trained run has learnt emotions from, so that it is not tested on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sersl_jax import datasets
from sersl_jax.datasets.dataset import Dataset, join, read_dataset
from sersl_jax.evaluation.protocol import LeakError
from sersl_jax.training import lineage
from sersl_jax.training.lineage import Lineage, full_ids

OWN_FOLDERS = ("speech/folder",)  # one name for many corpora, told apart by their speakers alone


@dataclass(frozen=True)
class Learnt:
    """Whose emotions a run's members have learnt, and those of the runs that they started from.

    Attributes:
      origin: the run, for messages.
      lineage: on what.
    """

    origin: str
    lineage: Lineage

    def check_name(self, dataset: str) -> None:
        """Refuses a corpus by its name, before anything is prepared. Raises LeakError."""
        if dataset in self.lineage.datasets and dataset not in OWN_FOLDERS:
            raise LeakError(
                f"{self.origin} has learnt the emotions of {dataset}'s speakers: test it on "
                "another corpus (its training has tested it on speakers that it never heard)"
            )

    def check(self, dataset: Dataset, clips: pd.DataFrame, trained: Dataset | None) -> None:
        """Refuses speakers that were learnt, and clips that are byte-identical to one in `trained`.

        Raises LeakError.
        """
        people, learnt = sorted({*clips["speaker_id"]}), self.lineage.speakers
        full = full_ids(dataset.name, people)
        heard = [name for name, one in zip(people, full, strict=True) if one in learnt]
        if heard:
            raise LeakError(
                f"{self.origin} has learnt the emotions of speakers of {dataset.name}: "
                f"{_list(heard)}. If they are other people, give them other ids"
            )
        if trained is None:
            return
        own = [one in learnt for one in full_ids(trained.name, trained.speaker_ids)]
        twins = clips[clips["sha256"].isin([*trained.examples["sha256"][own]])]
        if len(twins):
            raise LeakError(
                f"{self.origin} was trained on clips of {trained.name} that are byte-identical to "
                f"{_list([*twins['clip']])}"
            )


def of(info: Mapping[str, Any], origin: str) -> Learnt:
    """What the run with this `Ensemble.info` has learnt."""
    return Learnt(origin, lineage.trace(info))


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


def _list(names: Sequence[str], limit: int = 6) -> str:
    rest = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + rest
