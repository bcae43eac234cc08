"""Reference lines: without them nobody can tell whether a figure is good.

`majority` says one class always, `crowd` is the raters who only heard the clip, `svm` is what a
user would take instead of a network.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from sersl_jax.evaluation import label_rule, metrics, results
from sersl_jax.evaluation.splits import Split

PENALTIES = (1.0, 3.0, 10.0)  # the SVM's C, chosen by macro F1 on the validation speakers
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
) -> Int[np.ndarray, "test"]:
    """Classes of the test clips by an RBF SVM with balanced class weights.

    Features are z-normalised with the training clips; C is the best of `PENALTIES` on validation.
    The kernel is computed once for all of them, which is where the time goes.
    """
    from sklearn.metrics.pairwise import rbf_kernel
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    scaled = np.asarray(StandardScaler().fit(features[train]).transform(features))
    width = 1 / (features.shape[1] * scaled[train].var())  # scikit-learn's gamma="scale"
    kernel = {
        side: rbf_kernel(scaled[rows], scaled[train], width)
        for side, rows in (("train", train), ("validation", validation), ("test", test))
    }

    def fit(penalty: float) -> SVC:
        machine = SVC(C=penalty, kernel="precomputed", class_weight="balanced")
        return machine.fit(kernel["train"], targets[train])

    def quality(machine: SVC) -> float:
        answers = machine.predict(kernel["validation"])
        table = metrics.confusion_matrix(targets[validation], answers, int(targets.max()) + 1)
        return float(metrics.scores(table)["macro_f1"])

    return max(map(fit, PENALTIES), key=quality).predict(kernel["test"])


def svm_predictions(
    features: Float[np.ndarray, "clips features"], corpus: pd.DataFrame, splits: Sequence[Split]
) -> pd.DataFrame:
    """The SVM on every split, as rows of `predictions.csv` (without probabilities).

    Args:
        features: `functionals` of every clip of `corpus`.
        corpus: `clip`, `speaker_id`, `label` (a class name); other columns are passed on.
        splits: as the network's.
    """
    classes = sorted(set(corpus["label"]))
    targets = results.as_index(corpus["label"], classes)
    speakers, clips = list(corpus["speaker_id"]), list(corpus["clip"])
    frames = []
    for split in splits:
        sides = [split.indices(side, speakers, clips) for side in ("train", "validation", "test")]
        answers = svm(features, targets, *sides)
        frame = corpus.iloc[sides[-1]].copy()
        frame.insert(0, "split", split.seed)
        frame.insert(4, "prediction", np.array(classes)[answers])
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def majority(predictions: pd.DataFrame, saved: Mapping[str, Any]) -> pd.DataFrame:
    """Every split's most frequent training class, or test class where n is not known."""
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
