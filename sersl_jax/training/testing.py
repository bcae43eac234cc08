"""Groups of splits that are trained together: their test clips scored, their files, their plan."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from sersl_jax import checksums, files, sharding
from sersl_jax.config import Config
from sersl_jax.config.target import EMOTION
from sersl_jax.datasets.dataset import Dataset
from sersl_jax.evaluation import attributes, calibration, prediction_rows, votes
from sersl_jax.evaluation.splits import Split
from sersl_jax.tasks import Attribute, Task
from sersl_jax.training import checkpoint
from sersl_jax.training.trainer import Trainer


@dataclass(frozen=True)
class Group:
    """Splits that are trained together and their directory (`finetune/0-1`).

    `done`: it was tested already when the command started.
    """

    splits: Sequence[Split]
    directory: Path
    done: bool

    def write(self, predictions: pd.DataFrame, temperatures: Sequence[float]) -> None:
        """Writes what testing gave; predictions.csv comes last and marks the group as done."""
        files.write_text(self.directory / "temperatures.json", json.dumps(temperatures))
        _write(self.directory / "predictions.csv", predictions)
        checksums.write(self.directory, ("temperatures.json", "predictions.csv"))

    def has_lines(self, names: Iterable[str]) -> bool:
        """Whether these reference lines are there."""
        return all((self.directory / f"baseline_{name}.csv").exists() for name in names)

    def write_lines(self, lines: Mapping[str, pd.DataFrame]) -> None:
        """Writes reference lines' predictions on the group's splits."""
        for name, frame in lines.items():
            _write(self.directory / f"baseline_{name}.csv", frame)
        checksums.write(self.directory, (f"baseline_{name}.csv" for name in lines))

    def add_checksums(self) -> None:
        """Adds those that are missing where a kill came before they were written."""
        found = [*self.directory.glob("*.csv"), self.directory / "temperatures.json"]
        checksums.add(self.directory, (path.name for path in found if path.exists()))

    def read(self) -> pd.DataFrame:
        """The predictions of the group's test clips."""
        checksums.check(self.directory, "delete its predictions.csv and train again")
        return _read(self.directory / "predictions.csv")


def read_baselines(groups: Sequence[Group]) -> dict[str, pd.DataFrame]:
    """Each reference line's predictions on all groups' splits."""
    paths = [path for group in groups for path in sorted(group.directory.glob("baseline_*.csv"))]
    names = list(dict.fromkeys(path.stem.removeprefix("baseline_") for path in paths))
    return {
        name: pd.concat([_read(path) for path in paths if path.stem == f"baseline_{name}"])
        for name in names
    }


def _write(path: Path, frame: pd.DataFrame) -> None:
    files.write_atomically(path, lambda file: frame.to_csv(file, index=False, float_format="%.7g"))


def _read(path: Path) -> pd.DataFrame:
    """All columns as text, but probabilities and predicted attributes as numbers."""
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    numbers = ("p_", attributes.PREFIX)
    return frame.astype({name: float for name in frame if str(name).startswith(numbers)})


def begun_groups(directory: Path, num_splits: int) -> list[tuple[int, int]]:
    """First and last split of every group on disk that is done, or saved and among the first
    `num_splits`. One that ran out of memory before it saved anything may be divided otherwise."""
    found = []
    for path in directory.glob("*-*"):
        first, last = map(int, path.name.split("-"))
        done = (path / "predictions.csv").exists()
        if done or (first < num_splits and checkpoint.is_saved(path)):
            found.append((first, last))
    return sorted(found)


def plan_groups(
    splits: Sequence[Split], begun: Sequence[tuple[int, int]], size: int, directory: Path
) -> list[Group]:
    """The groups on disk as they are, and the other splits, at most `size` together; in order."""
    bounds = list(begun)
    there = [number for first, last in begun for number in range(first, last + 1)]
    left = np.setdiff1d(np.arange(len(splits)), there)
    for run in np.split(left, np.flatnonzero(np.diff(left) > 1) + 1):
        number = -(-len(run) // size)  # of about the same size: one compiled program
        groups = np.array_split(run, number) if number else []
        bounds += [(int(group[0]), int(group[-1])) for group in groups]
    bounds.sort()
    paths = [directory / f"{a}-{b}" for a, b in bounds]
    return [
        Group(splits[a : b + 1], path, (path / "predictions.csv").exists())
        for (a, b), path in zip(bounds, paths, strict=True)
    ]


# Saved activations of one frame of one member's batch, both stacks, float32.
_BYTES_PER_FRAME = 220_000


def splits_at_once(config: Config, dataset: Dataset) -> int:
    """Splits that are trained together: as many as fit into memory; on a CPU, a member a device."""
    if config.finetune.parallel_members:
        return config.finetune.parallel_members
    if jax.default_backend() == "cpu":
        return max(1, jax.device_count() // config.finetune.seeds)
    frames = int(dataset.lengths.max()) * config.finetune.batch_size
    members = int(0.7 * sharding.free_memory() / (_BYTES_PER_FRAME * frames))
    return max(1, members // config.finetune.seeds)


def member_names(splits: Sequence[Split], seeds: int) -> list[str]:
    """A name for each split's trainings: the split's, then `<split>#1` and so on."""
    return [f"{s.seed}#{n}" if n else str(s.seed) for s in splits for n in range(seeds)]


def test(
    trainer: Trainer, params: Any, clips: pd.DataFrame, splits: Sequence[Split]
) -> tuple[pd.DataFrame, list[float]]:
    """Scores each member's test clips once.

    A split's answers are the mean over its members. Returns rows of `predictions.csv` and the
    members' temperatures.
    """
    tested = [examples_of(clips, split, "test") for split in splits]
    main_tasks, seeds = trainer.training.objective.main_tasks, trainer.config.finetune.seeds
    emotions = [task for task in main_tasks if isinstance(task, Task)]
    if emotions:
        frames, temperatures = _classify(trainer, params, clips, splits, emotions[0])
    else:
        pairs = zip(splits, tested, strict=True)
        frames = [prediction_rows.bare(split, clips, examples) for split, examples in pairs]
        temperatures = [1.0] * len(trainer.training.names)
    for task in main_tasks:
        if isinstance(task, Attribute):
            each = [examples for examples in tested for _ in range(seeds)]
            values = [task.values(x) for x in trainer.logits(params, each, task.name)]
            for number, frame in enumerate(frames):
                mean = np.mean(values[number * seeds : (number + 1) * seeds], axis=0)
                prediction_rows.add_attribute(frame, task.name, mean)
    return pd.concat(frames, ignore_index=True), temperatures


def _classify(
    trainer: Trainer, params: Any, clips: pd.DataFrame, splits: Sequence[Split], task: Task
) -> tuple[list[pd.DataFrame], list[float]]:
    """Calibrates each member on its validation clips, then classifies its test clips.

    Returns a split's rows of `predictions.csv` and the members' temperatures.
    """
    from scipy.special import softmax

    seeds = trainer.config.finetune.seeds
    tested = [examples_of(clips, split, "test") for split in splits for _ in range(seeds)]
    chosen = trainer.training.validation
    answers = zip(
        (trainer.training.dataset.labels[task.name][examples] for examples in chosen),
        trainer.logits(params, chosen, task.name), trainer.logits(params, tested, task.name),
        strict=True,
    )  # fmt: skip
    found, temperatures = [], []
    for known, known_logits, logits in answers:
        temperatures.append(calibration.fit_temperature(_softmax_logits(known_logits), known))
        found.append(softmax(_softmax_logits(logits) / temperatures[-1], axis=1))
    frames = []
    for number, split in enumerate(splits):
        own = slice(number * seeds, (number + 1) * seeds)
        p = np.mean(found[own], axis=0)
        frames.append(prediction_rows.classified(split, clips, tested[own][0], p, task.classes))
    return frames, temperatures


def _softmax_logits(logits: Float[np.ndarray, "clips outputs"]) -> Float[np.ndarray, "clips _"]:
    """A single logit as two, whose softmax gives the same probabilities."""
    return logits if logits.shape[1] > 1 else np.concatenate([0 * logits, logits], axis=1)


def clip_table(
    dataset: Dataset,
    truth: Int[np.ndarray, " examples"],
    labelled: Bool[np.ndarray, " examples"] | None = None,
) -> pd.DataFrame:
    """The clips with a label: its name, the speaker, what else is known, and the example.

    `labelled` says which clips those are, where there are labels beside the class; a class that is
    unknown is then empty.
    """
    names = dataset.label_names[EMOTION]
    chosen = np.flatnonzero(truth >= 0 if labelled is None else labelled)
    examples = dataset.examples.iloc[chosen].reset_index(drop=True)
    facts = pd.DataFrame([json.loads(text) for text in examples["attributes"]])
    rated = {} if dataset.votes is None else votes.columns(dataset.votes[chosen], names)
    labels = np.array([*names, ""])[truth[chosen]]  # -1 takes the last
    table = examples[["clip", "speaker_id"]].assign(label=labels)
    return pd.concat([table, facts], axis=1).assign(
        **rated, sha256=examples["sha256"], example=chosen
    )


def examples_of(clips: pd.DataFrame, split: Split, side: str) -> Int[np.ndarray, " examples"]:
    """Positions in the dataset of one side's labelled clips."""
    chosen = split.indices(side, list(clips["speaker_id"]), list(clips["clip"]))
    return clips["example"].to_numpy()[chosen]


def environment() -> dict[str, Any]:
    """Versions and devices, for the results."""
    packages = ("sersl_jax", "jax", "flax", "optax", "numpy")
    device = f"{jax.device_count()} x {jax.devices()[0].device_kind}"
    return {"versions": {name: version(name) for name in packages}, "device": device}
