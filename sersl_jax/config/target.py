"""What fine-tuning learns: names of tasks, and the fields of the label; see `sersl_jax.config`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sersl_jax.config.model import Checked

EMOTION = "emotion"  # the task of a speech corpus's own classes
INTENDED = "intended"  # a helper: the acted emotion, where `label.source` is another
VOTES = ("votes_multimodal", "votes_voice", "votes_face")  # helpers: raters' shares of votes


@dataclass(frozen=True)
class LabelConfig(Checked):
    """Which label is right, where a corpus has raters' votes beside its own."""

    # intended: the acted emotion, as in the paper's tables (docs/choices.md) | the plurality of
    # raters who saw and heard, heard, or saw the clip
    source: Literal["intended", "multimodal", "voice", "face"] = "intended"
    targets: Literal["plurality", "soft"] = "plurality"  # soft: shares of votes
    ties: Literal["random", "drop"] = "random"
    seed: int = 0

    def __post_init__(self):
        """Refuses shares of votes without votes."""
        if self.targets == "soft" and self.source == "intended":
            raise ValueError(
                "config.finetune.label.targets='soft' needs votes: set "
                "config.finetune.label.source to multimodal, voice or face"
            )


def check_tasks(tasks: Mapping[str, float], helpers: Mapping[str, float], select: str) -> None:
    """Refuses tasks that are none, and to choose epochs by a metric that no task has.

    Raises ValueError. Whether a dataset knows them is for `training.targets` to say.
    """
    votes = (*VOTES, INTENDED)
    wrong = [name for name in tasks if not name.isidentifier() or name in votes]
    if wrong or not tasks:
        raise ValueError(
            f"config.finetune.tasks={tasks!r} should name {EMOTION!r} or attributes such "
            "as 'arousal'; other tasks are config.finetune.helpers"
        )
    wrong = [name for name in helpers if not name.isidentifier() or name in tasks]
    if wrong:
        raise ValueError(
            f"config.finetune.helpers names {wrong[0]!r}: take {', '.join(votes)} or an "
            "attribute of the corpus such as sex or arousal"
        )
    chosen_by = {"ccc": {*tasks} - {EMOTION}, "loss": tasks}
    if not chosen_by.get(select, EMOTION in tasks):
        raise ValueError(
            f"config.finetune.select={select} is of no task in config.finetune.tasks "
            f"({', '.join(tasks)}): take loss{'' if EMOTION in tasks else ' or ccc'}"
        )
