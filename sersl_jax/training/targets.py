"""What emotion recognition learns and what counts as right, by the label rule (Sec. 4.1)."""

from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Int

from sersl_jax.config import LabelConfig
from sersl_jax.datasets.dataset import Dataset
from sersl_jax.evaluation.label_rule import LabelRule, create_labels, soft_targets


def apply_label_rule(
    dataset: Dataset, config: LabelConfig
) -> tuple[Dataset, Int[np.ndarray, " examples"], dict[str, Any]]:
    """Applies the rule where the dataset has votes.

    Returns the dataset with what is learnt (classes, or shares of votes), the class that counts as
    right for each example (-1: the rule gives none), and the rule as results are stamped with it.
    Without votes that is the corpus's own label; raises ValueError where votes are asked for.
    """
    own = dataset.labels["emotion"]
    chosen = dataset.metadata.get("options", {}).get("classes")
    classes = {"classes": ",".join(chosen)} if chosen else {}
    if dataset.votes is None or not dataset.votes.any():
        if (config.source, config.targets) != ("intended", "plurality"):
            raise ValueError(
                f"dataset {dataset.name} has no votes for config.finetune.label.source="
                f"{config.source}, targets={config.targets}: take intended and plurality, which "
                "mean its own label here"
            )
        return dataset, own, {"source": "corpus"} | classes
    rule = LabelRule(config.source, config.targets, config.ties, config.seed)
    clips = list(dataset.examples["clip"])
    truth = create_labels(rule, dataset.votes, own, clips).astype(np.int32)
    soft = rule.targets == "soft"
    learnt = soft_targets(rule, dataset.votes).astype(np.float32) if soft else truth
    return replace(dataset, labels={"emotion": learnt}), truth, rule.stamp() | classes
