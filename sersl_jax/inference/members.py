"""What each member of a trained run says of the clips of a prepared dataset."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from tqdm import tqdm

from sersl_jax.datasets.dataset import Dataset
from sersl_jax.evaluation import baselines
from sersl_jax.evaluation.attributes import PREFIX
from sersl_jax.evaluation.splits import Split
from sersl_jax.inference.ensemble import Ensemble, split_of
from sersl_jax.inference.prefetch import chunks, map_ahead
from sersl_jax.inference.target import Test
from sersl_jax.training.input_pipeline import INT16_SCALE
from sersl_jax.training.lineage import full_ids
from sersl_jax.training.normaliser import Normaliser, speaker_statistics
from sersl_jax.training.targets import create_targets
from sersl_jax.training.testing import clip_table

_CHUNK = 128  # clips in memory, sorted by length and batched together
_BLOCK = 10_000  # clips whose kernel with the training clips is in memory


class Reader:
    """A dataset's inputs as a run takes them; safe in threads."""

    def __init__(self, ensemble: Ensemble, dataset: Dataset):
        """Reads the dataset once where the run normalises a speaker's clips together."""
        self.ensemble, self.dataset = ensemble, dataset
        self.speakers: dict[str, Normaliser] = {}
        if ensemble.scope == "speaker":
            statistics = speaker_statistics(dataset)
            self.speakers = {name: statistics.normaliser([name]) for name in statistics.count}

    def read(self, example: int | np.integer) -> Float[np.ndarray, "time *dim"]:
        """One example's LLDs or samples, normalised in the run's scope."""
        x = self.dataset.read(example)
        if x.dtype == np.int16:
            x = x.astype(np.float32) / np.float32(INT16_SCALE)
        speaker = self.speakers.get(self.dataset.speaker_ids[example])
        return self.ensemble.normalise(x, speaker)


def answers(
    ensemble: Ensemble, dataset: Dataset, examples: Int[np.ndarray, " clips"]
) -> Float[np.ndarray, "splits clips answers"]:
    """Every split's calibrated probabilities, then its attributes, as testing gives them.

    Attributes are in the run's scale. Few inputs are in memory at a time.
    """
    members = [ensemble.select(name) for name in ensemble.splits]
    reader = Reader(ensemble, dataset)
    found: list[Sequence[np.ndarray]] = []
    with ThreadPoolExecutor(2) as pool, tqdm(total=len(examples), unit="clip", disable=None) as bar:
        inputs = map_ahead(pool, reader.read, examples, _CHUNK)
        for chunk in chunks(inputs, _CHUNK):
            found.append([member.run(chunk)[0] for member in members])
            bar.update(len(chunk))
    return np.concatenate([np.stack(each) for each in found], axis=1)


def reference_lines(test: Test, trained: Dataset) -> dict[str, pd.DataFrame]:
    """Lines of each split's training speakers, tested on the same clips.

    They are SVMs where classes are tested and ridge regressions of attributes; rows of
    `predictions.csv`. `trained` is the run's training data; classes that are left out are left out
    of it, too.
    """
    ensemble, target, clips = test.model.ensemble, test.dataset, test.clips
    targets = create_targets(trained, ensemble.config.finetune)
    own = clip_table(trained, targets.truth, targets.labelled)
    if test.matched.only_shared:
        own = own.loc[own["label"].isin(test.matched.classes)].reset_index(drop=True)
    names = [task.name for task in test.attributes]
    learnt, tested = _labelled(trained, own, names), _labelled(target, clips, names)
    known = functionals(Reader(ensemble, trained), np.asarray(own["example"]))
    reader, splits = Reader(ensemble, target), _splits(ensemble, trained, tested)
    parts: list[dict[str, pd.DataFrame]] = []
    for block in chunks(range(len(clips)), _BLOCK):
        table = pd.concat([learnt, tested.iloc[block]], ignore_index=True)
        unknown = functionals(reader, clips["example"].to_numpy()[block])
        both = np.concatenate([known, unknown])
        parts.append(baselines.lines(both, table, splits, bool(test.matched.classes), names))
    found = {name: pd.concat([part[name] for part in parts]) for name in parts[0]}
    for task in test.attributes:  # the line has learnt the scale of the training data
        column = PREFIX + task.name
        values = found[baselines.RIDGE][column].to_numpy()
        found[baselines.RIDGE][column] = task.rescale(values, *ensemble.attributes[task.name])
    return found


def _labelled(dataset: Dataset, clips: pd.DataFrame, attributes: Sequence[str]) -> pd.DataFrame:
    """Clips under speakers' names that no other dataset has."""
    ids = full_ids(dataset.name, clips["speaker_id"])
    return clips[["clip", "speaker_id", "label", *attributes]].assign(speaker_id=ids)


def _splits(ensemble: Ensemble, trained: Dataset, tested: pd.DataFrame) -> list[Split]:
    """Each split's training and validation speakers, and all that are tested."""
    people = tuple({*tested["speaker_id"]})
    splits = []
    names = map(split_of, ensemble.names)
    for name, sides in dict(zip(names, ensemble.info["speakers"], strict=True)).items():
        train, validation = (
            tuple(full_ids(trained.name, sides[side])) for side in ("train", "validation")
        )
        splits.append(Split(name, train, validation, people))
    return splits


def functionals(
    reader: Reader, examples: Int[np.ndarray, " clips"]
) -> Float[np.ndarray, "clips 520"]:
    """The SVM's features of the clips, from LLDs that are normalised in the run's scope."""
    return np.stack([baselines.functionals(reader.read(example)) for example in examples])
