"""A run, one for out-of-domain recordings, and both with a gate: inside their corpus and outside.

    python -m tests.benchmarks.other_microphones --runs runs/best_crema_d runs/portable \\
        --dataset=speech/emodb --data_dir=DIR

UAR in per cent, mean and SD over splits: on the split's test speakers, and on the classes of
another corpus that both know. Each split's gate is fitted to its own training and validation
speakers.
"""

import argparse

import numpy as np
import pandas as pd

from sersl_jax.config.target import EMOTION
from sersl_jax.datasets.dataset import Dataset, read_dataset
from sersl_jax.inference import learnt, out_of_domain
from sersl_jax.inference.ensemble import Ensemble
from sersl_jax.inference.members import Reader
from sersl_jax.inference.target import read_model
from sersl_jax.training.targets import apply_label_rule


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", nargs=2)
    parser.add_argument("--dataset", default="speech/emodb")
    parser.add_argument("--data_dir")
    chosen = parser.parse_args()
    run, other = (read_model(name).ensemble for name in chosen.runs)
    inside = learnt.find_trained(run.info, "llds", [chosen.data_dir])
    assert inside, f"no training data in {chosen.data_dir}"
    outside = read_dataset(chosen.dataset, chosen.data_dir, "llds")
    inside, truth, _ = apply_label_rule(inside, run.config.finetune.label)
    own = np.array(run.labels)[truth]
    known = np.array([*outside.label_names[EMOTION], "unknown"])[outside.labels[EMOTION]]
    shared = np.flatnonzero(np.isin(known, run.labels))
    rows = []
    for member, sides in zip(run.names, run.info["speakers"], strict=True):
        learners = run.select(member), other.select(member)
        gate = out_of_domain.fit(inside, [sides])
        heard = {*sides["train"], *sides["validation"]}
        tested = np.flatnonzero([s not in heard for s in inside.speaker_ids])
        for place, dataset, examples, labels in (
            ("inside", inside, tested, own[tested]),
            ("outside", outside, shared, known[shared]),
        ):
            rows += score(place, learners, gate, dataset, examples, labels)
    table = pd.DataFrame(rows, columns=["place", "network", "per cent"])
    print(table.groupby(["network", "place"])["per cent"].agg(["mean", "std"]).unstack().round(1))


def score(
    place: str,
    learners: tuple[Ensemble, Ensemble],
    gate: out_of_domain.Gate,
    dataset: Dataset,
    examples: np.ndarray,
    labels: np.ndarray,
) -> list[tuple[str, str, float]]:
    """UAR of each network and of both, and the share of clips that the gate sends to the second."""
    reader = Reader(learners[0], dataset)
    features = [reader.read(example) for example in examples]
    gated = out_of_domain.join(*learners, gate)
    networks = {"run": learners[0], "out of domain": learners[1], "both": gated}
    rows = [(place, "clips sent to the second", 100 * gated.is_far(features).mean())]
    for name, network in networks.items():
        answers = np.array(network.labels)[network.run(features)[0].argmax(axis=1)]
        recalls = [(answers[labels == label] == label).mean() for label in {*labels}]
        rows.append((place, name, 100 * float(np.mean(recalls))))
    return rows


if __name__ == "__main__":
    main()
