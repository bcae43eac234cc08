"""Reference lines, to judge a run's figures by.

`majority` always answers the most frequent class, `crowd` is the raters who only heard the clip,
`SVMS` and, of attributes, `RIDGE` are what a user would take instead of a network.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from sersl_jax.evaluation import attributes, label_rule, metrics, results, votes
from sersl_jax.evaluation.splits import SIDES, Split

RIDGE = "ridge"  # the line of attributes
STRENGTHS = (1.0, 10.0, 100.0, 1e3, 1e4)  # its penalties, chosen on the validation speakers
PENALTIES = (1.0, 3.0, 10.0)  # an SVM's C, chosen on the validation speakers
# Class weights, and the metric that chooses C. Balanced weights aim at macro F1; without them an
# SVM aims at accuracy, as the network's loss does, which makes it the fair line beside a network.
SVMS = {"svm": ("balanced", "macro_f1"), "svm_unweighted": (None, "micro_f1")}


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

    if len({*learnt}) < 2:  # an SVM needs two classes
        return np.full(len(test), learnt[0])

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


def ridge(
    features: Float[np.ndarray, "clips features"],
    targets: Float[np.ndarray, "clips"],
    train: Int[np.ndarray, "train"],
    validation: Int[np.ndarray, "validation"],
    test: Int[np.ndarray, "test"],
) -> Float[np.ndarray, "test"]:
    """An attribute of the test clips by ridge regression; unknown labels are nan.

    Features are z-normalised with the training clips; the penalty is the one of `STRENGTHS` with
    the best CCC on validation (the first one where no validation clip has a label). Answers stay
    within the labels that were learnt, as a line runs far beyond them on clips of another corpus;
    they are 0 where no training clip has a label.
    """
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import StandardScaler

    known, checked = (rows[~np.isnan(targets[rows])] for rows in (train, validation))
    if not known.size:
        return np.zeros(len(test))
    scaled = np.asarray(StandardScaler().fit(features[train]).transform(features), np.float64)

    ends = targets[known].min(), targets[known].max()

    def answer(model: Ridge, rows: Int[np.ndarray, "_"]) -> Float[np.ndarray, "_"]:
        return np.clip(model.predict(scaled[rows]), *ends)

    def quality(model: Ridge) -> float:
        if not checked.size:
            return 0.0
        sums = attributes.sums(targets[checked], answer(model, checked))
        return float(attributes.scores(sums.sum(axis=0, keepdims=True))["ccc"][0])

    models = [Ridge(alpha=s).fit(scaled[known], targets[known]) for s in STRENGTHS]
    return answer(max(models, key=quality), test)


def ridge_predictions(
    features: Float[np.ndarray, "clips features"],
    corpus: pd.DataFrame,
    splits: Sequence[Split],
    names: Sequence[str],
) -> pd.DataFrame:
    """`ridge` of every attribute on every split, as rows of `predictions.csv` without classes."""
    speakers, clips = list(corpus["speaker_id"]), list(corpus["clip"])
    columns = corpus.drop(columns="label")
    frames = []
    for split in splits:
        sides = [split.indices(side, speakers, clips) for side in SIDES]
        frame = columns.iloc[sides[-1]].copy()
        frame.insert(0, "split", split.seed)
        for name in names:
            found = ridge(features, attributes.labels(corpus, name), *sides)
            frame[attributes.PREFIX + name] = found
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def lines(
    features: Float[np.ndarray, "clips features"],
    corpus: pd.DataFrame,
    splits: Sequence[Split],
    classes: bool,
    names: Sequence[str],
) -> dict[str, pd.DataFrame]:
    """The lines that are learnt: SVMs where there are classes, `ridge` of the attributes named."""
    found = svm_predictions(features, corpus, splits) if classes else {}
    return found | ({RIDGE: ridge_predictions(features, corpus, splits, names)} if names else {})


def line_names(classes: bool, names: Sequence[str]) -> list[str]:
    """Names of the lines that `lines` gives."""
    return [*(SVMS if classes else ()), *([RIDGE] if names else ())]


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
    counts = np.stack([votes.read(text, classes) for text in heard["votes_voice"]])
    # Its own address: a clip tied in both kinds of vote must not fall the same way in both.
    answers = label_rule.apply(counts, list(heard["clip"]), "random", f"crowd/{seed}")
    return heard.assign(prediction=np.array(classes)[answers])


def reference_lines(
    predictions: pd.DataFrame, saved: Mapping[str, Any], classes: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Mean and sd over splits of every line that the files of a run allow."""
    lines = dict(saved.get("baselines", {}))
    if not classes:
        return lines
    of_them = saved.get("label_rule", {}).get("source") in ("voice", "corpus")  # the label itself
    heard = None if of_them else crowd(predictions, classes)
    if heard is not None:
        lines["crowd"] = results.score(heard, classes)
    return lines | {"majority": results.score(majority(predictions, saved), classes)}
