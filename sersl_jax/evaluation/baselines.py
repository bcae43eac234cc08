"""Reference lines, to judge a run's figures by.

`majority` always answers the most frequent class, `crowd` is the raters who only heard the clip,
`SVMS` are what a user would take instead of a network.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from sersl_jax.evaluation import label_rule, metrics, results
from sersl_jax.evaluation.splits import SIDES, Split

PENALTIES = (1.0, 3.0, 10.0)  # an SVM's C, chosen on the validation speakers
# Class weights, and the metric that chooses C. Balanced weights aim at macro F1; without them an
# SVM aims at accuracy, as the network's loss does, which makes it the fair line beside a network.
SVMS = {"svm": ("balanced", "macro_f1"), "svm_unweighted": (None, "micro_f1")}
VOTE_COLUMNS = tuple(f"votes_{kind}" for kind in label_rule.VOTES)


def functionals(llds: Float[np.ndarray, "frames 130"]) -> Float[np.ndarray, "520"]:
    """Mean, standard deviation, 10th and 90th percentile of every LLD over a clip."""
    low, high = np.percentile(llds, [10, 90], axis=0)
    return np.concatenate([llds.mean(axis=0), llds.std(axis=0), low, high]).astype(np.float32)


def svm(
    features: Float[np.ndarray, "clips features"],
    targets: Int[np.ndarray, "clips"],
    train: Int[np.ndarray, "train"],
    validation: Int[np.ndarray, "validation"],
    test: Int[np.ndarray, "test"],
) -> dict[str, Int[np.ndarray, "test"]]:
    """Classes of the test clips by the RBF SVMs of `SVMS`.

    Features are z-normalised with the training clips; C is the best of `PENALTIES` on validation.
    """
    kernels = rbf_kernels(features, train, (train, validation, test))
    learnt, known = targets[train], targets[validation]
    return {name: fit(kernels, learnt, known, *choice) for name, choice in SVMS.items()}


def rbf_kernels(
    features: Float[np.ndarray, "clips features"],
    train: Int[np.ndarray, "train"],
    sides: Sequence[Int[np.ndarray, "_"]],
) -> list[Float[np.ndarray, "_ train"]]:
    """Every side's clips against the training clips; shared by all SVMs, as they take time."""
    from sklearn.metrics.pairwise import rbf_kernel
    from sklearn.preprocessing import StandardScaler

    scaled = np.asarray(StandardScaler().fit(features[train]).transform(features))
    width = 1 / (features.shape[1] * scaled[train].var())  # scikit-learn's gamma="scale"
    return [rbf_kernel(scaled[rows], scaled[train], width) for rows in sides]


def fit(
    kernels: Sequence[Float[np.ndarray, "_ train"]],
    learnt: Int[np.ndarray, "train"],
    known: Int[np.ndarray, "validation"],
    weights: str | None,
    metric: str,
) -> Int[np.ndarray, "test"]:
    """One SVM's classes of the test clips.

    Args:
        kernels: `rbf_kernels` of the training, validation and test clips.
        learnt: classes of the training clips.
        known: classes of the validation clips.
        weights: of the classes: "balanced" or None.
        metric: of validation, which chooses C.
    """
    from sklearn.svm import SVC

    train, validation, test = kernels

    def machine(penalty: float) -> SVC:
        return SVC(C=penalty, kernel="precomputed", class_weight=weights).fit(train, learnt)

    def quality(machine: SVC) -> float:
        number = int(max(learnt.max(), known.max())) + 1
        table = metrics.confusion_matrix(known, machine.predict(validation), number)
        return float(metrics.scores(table)[metric])

    return max(map(machine, PENALTIES), key=quality).predict(test)


def svm_predictions(
    features: Float[np.ndarray, "clips features"], corpus: pd.DataFrame, splits: Sequence[Split]
) -> dict[str, pd.DataFrame]:
    """Each SVM on every split, as rows of `predictions.csv` (without probabilities).

    Args:
        features: `functionals` of every clip of `corpus`.
        corpus: `clip`, `speaker_id`, `label` (a class name); other columns are passed on.
        splits: as the network's.
    """
    classes = sorted(set(corpus["label"]))
    targets = results.as_index(corpus["label"], classes)
    speakers, clips = list(corpus["speaker_id"]), list(corpus["clip"])
    frames: dict[str, list[pd.DataFrame]] = {name: [] for name in SVMS}
    for split in splits:
        sides = [split.indices(side, speakers, clips) for side in SIDES]
        for name, answers in svm(features, targets, *sides).items():
            frame = corpus.iloc[sides[-1]].copy()
            frame.insert(0, "split", split.seed)
            frame.insert(4, "prediction", np.array(classes)[answers])
            frames[name].append(frame)
    return {name: pd.concat(found, ignore_index=True) for name, found in frames.items()}


def majority(predictions: pd.DataFrame, saved: Mapping[str, Any]) -> pd.DataFrame:
    """Every split's most frequent training class; test class, if training counts are unknown."""
    counts = {str(entry["seed"]): entry.get("num_clips") for entry in saved.get("splits", ())}

    answers = {}
    for name, rows in predictions.groupby("split"):
        known = counts.get(str(name))
        frequency = pd.Series(known["train"]) if known else rows["label"].value_counts()
        answers[str(name)] = str(frequency.idxmax())
    return predictions.assign(prediction=[answers[str(name)] for name in predictions["split"]])


def crowd(
    predictions: pd.DataFrame, classes: Sequence[str], seed: int | str = 0
) -> pd.DataFrame | None:
    """The plurality of the raters who only heard the clip, ties at random; None without votes."""
    if "votes_voice" not in predictions:
        return None
    heard = predictions[predictions["votes_voice"].fillna("") != ""]
    votes = np.stack([read_votes(text, classes) for text in heard["votes_voice"]])
    # Its own address: a clip tied in both kinds of vote must not fall the same way in both.
    answers = label_rule.apply(votes, list(heard["clip"]), "random", f"crowd/{seed}")
    return heard.assign(prediction=np.array(classes)[answers])


def reference_lines(
    predictions: pd.DataFrame, saved: Mapping[str, Any], classes: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Mean and sd over splits of every line that the files of a run allow."""
    lines = dict(saved.get("baselines", {}))
    heard = crowd(predictions, classes)
    if heard is not None:
        lines["crowd"] = results.score(heard, classes)
    return lines | {"majority": results.score(majority(predictions, saved), classes)}


def vote_columns(
    votes: Float[np.ndarray, "clips 3 classes"], classes: Sequence[str]
) -> dict[str, list[str]]:
    """Votes as extra columns of `predictions.csv`: "anger:1;disgust:1", empty where none."""
    return {
        column: [write_votes(clip[row], classes) for clip in votes]
        for row, column in enumerate(VOTE_COLUMNS)
        if votes[:, row].any()
    }


def write_votes(votes: Float[np.ndarray, "classes"], classes: Sequence[str]) -> str:
    """One clip's votes as text, most chosen first."""
    order = np.argsort(-votes, kind="stable")
    return ";".join(f"{classes[i]}:{votes[i]:g}" for i in order if votes[i] > 0)


def read_votes(text: str, classes: Sequence[str]) -> Float[np.ndarray, "classes"]:
    """The inverse of `write_votes`."""
    votes = np.zeros(len(classes))
    for entry in filter(None, text.split(";")):
        name, number = entry.rsplit(":", 1)
        votes[list(classes).index(name)] = float(number)
    return votes
