"""Which of CREMA-D's labels the paper's tables were scored on, from the shares of the classes.

Macro recall minus accuracy depends on how even the classes are, hardly on the classifier. An SVM on
functionals, on both labels and the paper's splits, says what each label gives:

    python -m tests.benchmarks.label_evidence --data_dir=DIR [--num_splits=20] [--out=FILE]

Needs a prepared speech/crema_d; 20 splits take some ten minutes of one core. Every finished split
is in the table at once.
"""

import argparse
from pathlib import Path

import numpy as np

from sersl_jax.datasets.dataset import Dataset, read_dataset
from sersl_jax.evaluation import baselines, metrics, paper, results
from sersl_jax.evaluation.label_rule import LabelRule, create_labels
from sersl_jax.evaluation.protocol import create_splits
from sersl_jax.evaluation.splits import SIDES, Split

LABELS = {"voted": "multimodal", "intended": "intended"}  # by LabelRule.source
HEAD = """| {splits} | macro P | macro R | macro F1 | accuracy | R - accuracy | P - R |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="speech/crema_d")
    parser.add_argument("--data_dir")
    parser.add_argument("--num_splits", type=int, default=20)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    dataset = read_dataset(arguments.dataset, arguments.data_dir, "llds")
    if dataset.votes is None or not dataset.votes.any():
        raise SystemExit(f"{dataset.name} has no votes beside its label: nothing to compare")
    features = np.stack(
        [baselines.functionals(dataset.read(i)) for i in range(len(dataset.lengths))]
    )
    targets = {name: _targets(dataset, source) for name, source in LABELS.items()}
    rows: dict[str, list[dict[str, float]]] = {}
    for split in create_splits("paper", list(dataset.speaker_ids), arguments.num_splits):
        for name, values in _scores(dataset, features, targets, split).items():
            rows.setdefault(name, []).append(values)
        text = table(rows)
        if arguments.out:
            arguments.out.write_text(text)
    print(text)


def _targets(dataset: Dataset, source: str) -> np.ndarray:
    assert dataset.votes is not None
    clips = list(dataset.examples["clip"])
    return create_labels(LabelRule(source), dataset.votes, dataset.labels["emotion"], clips)


def _scores(
    dataset: Dataset, features: np.ndarray, targets: dict[str, np.ndarray], split: Split
) -> dict[str, dict[str, float]]:
    """Metrics of both SVMs on both labels of one split."""
    sides = [split.indices(side, list(dataset.speaker_ids)) for side in SIDES]
    kernels = baselines.rbf_kernels(features, sides[0], sides)
    found = {}
    for label, classes in targets.items():
        train, validation, test = (classes[rows] for rows in sides)
        for svm, choice in baselines.SVMS.items():
            answers = baselines.fit(kernels, train, validation, *choice)
            confusion = metrics.confusion_matrix(test, answers, int(classes.max()) + 1)
            scores = metrics.scores(confusion)
            found[f"{results.LINES[svm]}, {label}"] = {k: float(v) for k, v in scores.items()}
    return found


def table(rows: dict[str, list[dict[str, float]]]) -> str:
    """Per cent, mean ± SD over splits; of the differences also the smallest and the largest."""
    splits = len(next(iter(rows.values())))
    lines = [_line(name, found) for name, found in rows.items()]
    published = [
        {"macro_precision": p, "macro_recall": r, "macro_f1": f1, "micro_f1": accuracy}
        for p, r, f1, accuracy in (np.array(row) / 100 for row in paper.FIGURES.values())
    ]
    lines.append(_line("the paper's seven rows", published))
    return "\n".join([HEAD.format(splits=f"{splits} splits"), *lines]) + "\n"


def _line(name: str, found: list[dict[str, float]]) -> str:
    precision, recall, f1, accuracy = (
        100 * np.array([values[metric] for values in found])
        for metric in ("macro_precision", "macro_recall", "macro_f1", "micro_f1")
    )
    cells = [_mean(values) for values in (precision, recall, f1, accuracy)]
    cells += [_range(recall - accuracy), _range(precision - recall)]
    return f"| {name} | {' | '.join(cells)} |"


def _mean(values: np.ndarray) -> str:
    spread = f" ± {values.std(ddof=1):.1f}" if len(values) > 1 else ""
    return f"{values.mean():.1f}{spread}"


def _range(values: np.ndarray) -> str:
    return f"{values.mean():+.1f} ({values.min():+.1f} ... {values.max():+.1f})"


if __name__ == "__main__":
    main()
