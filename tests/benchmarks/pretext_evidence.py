"""Whether the sound of a film tells its pretext labels, before hours are spent on learning them.

An SVM on functionals, tested on speakers whom it never heard, is asked for every pretext label:

    python -m tests.benchmarks.pretext_evidence --dataset=pretext/folder --data_dir=DIR [--folds=8]

Needs a prepared pretext dataset. A UAR near chance says that nothing of the label was found in the
sound; a network that is pre-trained on it will learn other things than it is meant to.
"""

import argparse

import numpy as np
from sklearn.metrics import recall_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from sersl_jax.datasets.dataset import read_dataset
from sersl_jax.evaluation import baselines

HEAD = """| label | windows | share of the larger class | UAR of the SVM | chance |
| --- | ---: | ---: | ---: | ---: |"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="pretext/folder")
    parser.add_argument("--data_dir")
    parser.add_argument("--folds", type=int, default=8, help="of speakers")
    arguments = parser.parse_args()
    dataset = read_dataset(arguments.dataset, arguments.data_dir, "llds")
    if len(set(dataset.speaker_ids)) < arguments.folds:
        raise SystemExit(f"{dataset.name} has fewer speakers than --folds={arguments.folds}")
    features = np.stack(
        [baselines.functionals(dataset.read(i)) for i in range(len(dataset.lengths))]
    )
    print(HEAD)
    for task, labels in dataset.labels.items():
        print(row(task, features, labels, dataset.speaker_ids, arguments.folds), flush=True)


def row(
    task: str, features: np.ndarray, labels: np.ndarray, speakers: np.ndarray, folds: int
) -> str:
    """A line of the table: per cent, of the windows whose label is known."""
    known = labels >= 0
    features, labels, speakers = features[known], labels[known], np.asarray(speakers)[known]
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) < 2:
        return f"| {task} | {len(labels)} | 100.0 | one class only | |"
    model = make_pipeline(StandardScaler(), SVC(class_weight="balanced"))
    answers = cross_val_predict(model, features, labels, groups=speakers, cv=GroupKFold(folds))
    share, chance = counts.max() / len(labels), 1 / len(classes)
    uar = recall_score(labels, answers, average="macro")
    return f"| {task} | {len(labels)} | {100 * share:.1f} | {100 * uar:.1f} | {100 * chance:.1f} |"


if __name__ == "__main__":
    main()
