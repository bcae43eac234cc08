"""What fine-tuning learns of each clip, and what counts as right, by the label rule (Sec. 4.1)."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Num

from sersl_jax import corpora
from sersl_jax.config import FinetuneConfig
from sersl_jax.config.target import EMOTION, INTENDED, VOTES, LabelConfig
from sersl_jax.datasets.dataset import Dataset
from sersl_jax.evaluation import label_rule
from sersl_jax.evaluation.label_rule import ATTRIBUTES, LabelRule, create_labels, soft_targets
from sersl_jax.tasks import AnyTask, Attribute, Task

Labels = Num[np.ndarray, "examples *classes"]


@dataclass(frozen=True)
class Targets:
    """The tasks of fine-tuning on one dataset.

    Attributes:
      dataset: its labels are what is learnt, of every task.
      tasks: `config.finetune.tasks`, then its helpers.
      truth: the class that counts as right for each example; -1: the rule gives none.
      labelled: whether an example is trained or tested on: it has an emotion or, where none is
        learnt, any of the attributes.
      rule: the label rule, as results are stamped with it.
    """

    dataset: Dataset
    tasks: tuple[AnyTask, ...]
    truth: Int[np.ndarray, " examples"]
    labelled: Bool[np.ndarray, " examples"]
    rule: dict[str, Any]


def create_targets(dataset: Dataset, stage: FinetuneConfig) -> Targets:
    """The tasks that `stage` names. Raises ValueError for what the dataset does not know."""
    facts, scales = _facts(dataset), _scales(dataset)
    tasks: list[AnyTask] = []
    labels: dict[str, Labels] = {}
    truth = np.full(len(dataset.lengths), -1, np.int32)
    rule: dict[str, Any] = {"source": ATTRIBUTES, "attributes": ",".join(sorted(stage.tasks))}
    for name in sorted(stage.tasks, key=lambda name: (name != EMOTION, name)):
        if name == EMOTION and dataset.label_names[EMOTION]:
            ruled, truth, rule = apply_label_rule(dataset, stage.label)
            labels[name] = ruled.labels[name]
            tasks.append(Task(name, dataset.label_names[name]))
            continue
        if name not in scales or name not in facts:
            raise ValueError(_unknown("tasks", name, dataset, known_tasks(dataset)))
        task, labels[name] = _attribute(name, facts[name], scales[name], stage.attribute_loss)
        tasks.append(task)
    marks = [truth >= 0] if EMOTION in labels else [~np.isnan(v) for v in labels.values()]
    for name in sorted(stage.helpers):
        task, labels[name] = _helper(name, dataset, facts, scales, stage.attribute_loss)
        tasks.append(task)
    found = replace(dataset, labels=labels)
    return Targets(found, tuple(tasks), truth, np.any(marks, axis=0), rule)


def known_tasks(dataset: Dataset) -> list[str]:
    """What `config.finetune.tasks` may name: the emotion, and attributes that are numbers."""
    facts = _facts(dataset)
    attributes = [name for name in _scales(dataset) if name in facts]
    return ([EMOTION] if dataset.label_names[EMOTION] else []) + attributes


def describe_reported(tasks: Iterable[AnyTask]) -> tuple[list[str], dict[str, dict[str, Any]]]:
    """Classes, and scale and loss of each attribute, as `results.write` takes them."""
    classes, attributes = [], {}
    for task in tasks:
        if isinstance(task, Attribute):
            attributes[task.name] = {**task.stamp(), "loss": task.loss}
        else:
            classes += task.classes
    return classes, attributes


def apply_label_rule(
    dataset: Dataset, config: LabelConfig
) -> tuple[Dataset, Int[np.ndarray, " examples"], dict[str, Any]]:
    """Applies the rule where the dataset has votes.

    Returns the dataset with what is learnt (classes, or shares of votes), the class that counts as
    right for each example (-1: the rule gives none), and the rule as results are stamped with it.
    Without votes that is the corpus's own label; raises ValueError where votes are asked for. It is
    also "intended" where raters agreed on it.
    """
    own = dataset.labels[EMOTION]
    chosen = dataset.metadata.get("options", {}).get("classes")
    classes = {"classes": ",".join(chosen)} if chosen else {}
    if config.source == "intended" and getattr(_module(dataset.name), "CONSENSUS", False):
        return dataset, own, {"source": "corpus"} | classes
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
    return replace(dataset, labels={EMOTION: learnt}), truth, rule.stamp() | classes


def _helper(
    name: str,
    dataset: Dataset,
    facts: Mapping[str, Sequence[str]],
    scales: Mapping[str, Sequence[float]],
    loss: str,
) -> tuple[AnyTask, Labels]:
    """A helper and its labels."""
    emotions = dataset.label_names[EMOTION]
    if name in (INTENDED, EMOTION):  # the latter beside attributes alone
        return Task(name, emotions), dataset.labels[EMOTION]
    kind = name.removeprefix("votes_")
    if name in VOTES and dataset.votes is not None and label_rule.has(dataset.votes, kind):
        shares = soft_targets(LabelRule(kind, "soft"), dataset.votes)
        return Task(name, emotions), shares.astype(np.float32)
    if name not in facts:
        raise ValueError(_unknown("helpers", name, dataset, _known(dataset, facts)))
    if name in scales:
        return _attribute(name, facts[name], scales[name], loss)
    return _fact(name, facts[name])


def _unknown(field: str, name: str, dataset: Dataset, known: Sequence[str]) -> str:
    return (
        f"config.finetune.{field} names {name!r}, which {dataset.name} does not know: take some of "
        f"{', '.join(known) or 'none'}"
    )


def _fact(name: str, values: Sequence[str]) -> tuple[Task, Int[np.ndarray, " examples"]]:
    """A task whose classes are the values that occur, sorted; an empty one is unknown."""
    classes = sorted({*values} - {""})
    if len(classes) < 2:
        only = classes[0] if classes else "unknown"
        raise ValueError(f"config.finetune.helpers names {name!r}, which is {only} everywhere")
    numbers = {value: number for number, value in enumerate(classes)}
    return Task(name, tuple(classes)), np.array([numbers.get(v, -1) for v in values], np.int32)


def _attribute(
    name: str, values: Sequence[str], scale: Sequence[float], loss: str
) -> tuple[Attribute, Float[np.ndarray, " examples"]]:
    """A task of numbers; an empty one is unknown."""
    labels = np.array([float(value or "nan") for value in values], np.float32)
    low, high = map(float, scale)
    if not low < high:
        raise ValueError(f"config.finetune names {name!r}, which is {low:g} everywhere")
    return Attribute(name, low, high, loss), labels


def _scales(dataset: Dataset) -> dict[str, Sequence[float]]:
    """Ends of the scale of every attribute that is a number.

    Of a dataset that was prepared before it kept them, those of its corpus. Raises ValueError where
    joined datasets differ in one.
    """
    parts = dataset.metadata.get("joined", {dataset.name: dataset.metadata})
    found: dict[str, Sequence[float]] = {}
    for name, metadata in parts.items():
        module = _module(name)
        own = metadata.get("scales") or (corpora.scales(module) if module else {})
        for attribute, scale in own.items():
            if list(found.setdefault(attribute, scale)) != list(scale):
                raise ValueError(f"{dataset.name} differ in the scale of {attribute}")
    return found


def _module(dataset: str) -> ModuleType | None:
    """The reader of a dataset's corpus; None where it is unknown."""
    corpus = dataset.partition("/")[2]
    return corpora.get(corpus) if corpus in corpora.names() else None


def _facts(dataset: Dataset) -> dict[str, list[str]]:
    """What the dataset knows of its clips: a value of each example by its name, empty: unknown."""
    if "attributes" not in dataset.examples:
        return {}
    rows = [json.loads(text) for text in dataset.examples["attributes"]]
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [str(row.get(name, "")) for row in rows] for name in names}


def _known(dataset: Dataset, facts: Mapping[str, Sequence[str]]) -> list[str]:
    """What may be a helper on this dataset."""
    kinds = [n for n in VOTES if label_rule.has(dataset.votes, n.removeprefix("votes_"))]
    return [*kinds, *([INTENDED] if kinds else []), *facts]
