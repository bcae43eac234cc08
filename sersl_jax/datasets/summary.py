"""What a prepared dataset's labels look like, as numbers: `label_card.json`.

`reports.label_card` makes the page of it.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Float

from sersl_jax import files
from sersl_jax.datasets import identity, ledger
from sersl_jax.datasets.options import FEATURES
from sersl_jax.features.openface import AU_NAMES
from sersl_jax.pretext import registry

NAME = "label_card.json"
_BINS = 40


def write(folder: Path) -> dict[str, Any]:
    """Writes the label card of the dataset in `folder` into it and returns its content."""
    card = summarise(folder)
    files.write_text(folder / NAME, json.dumps(card, indent=1))
    return card


def summarise(folder: Path) -> dict[str, Any]:
    """Reads everything but the features of every example."""
    builder = tfds.builder_from_directory(str(folder))
    metadata = identity.read_metadata(folder)
    # TFDS hides the signatures of both methods behind a decorator.
    if metadata["file_format"] == "tfrecord":
        import tensorflow as tf

        tf.config.set_visible_devices([], "GPU")  # JAX's
        dataset = builder.as_dataset(split="train")  # pyright: ignore[reportCallIssue]
        source = tfds.as_numpy(dataset)
    else:
        source = builder.as_data_source("train")  # pyright: ignore[reportCallIssue]
    examples = [_without_features(example) for example in cast(Iterable[dict], source)]
    lines = ledger.read(folder / ledger.NAME)
    card = {
        "dataset": f"{builder.info.name}/{folder.parent.name}",
        "examples": len(examples),
        **{name: value for name, value in metadata.items() if name != "fingerprint"},
        "speakers": dict(Counter(example["speaker_id"].decode() for example in examples)),
        "ledger": _ledger(lines),
    }
    if "scores" in examples[0]:
        card["histograms"] = {task: _histogram(examples, task) for task in metadata["thresholds"]}
        card["action_units"] = _units(examples, metadata["options"]["min_proportion"])
        card["unknown"] = _unknown(examples, lines)
    else:
        card["votes"] = _votes(examples, metadata["classes"])
    return card


def _without_features(example: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in example.items() if name not in FEATURES}


def _histogram(examples: list[dict], task: str) -> dict[str, list[float]]:
    """Counts between 40 equal edges from 0, or a negative least, to the 99th percentile.

    The last holds the rest.
    """
    scores = np.array([example["scores"][task] for example in examples])
    scores = scores[~np.isnan(scores)]
    if not scores.size:
        return {"edges": [], "counts": []}
    bottom, top = min(0.0, float(scores.min())), float(np.percentile(scores, 99))
    top = top if top > bottom else bottom + 1.0
    counts, edges = np.histogram(np.minimum(scores, top), _BINS, (bottom, top))
    return {"edges": edges.tolist(), "counts": counts.tolist()}


def _units(examples: list[dict], least: float) -> dict[str, Any]:
    """Mean share of frames per unit, and how often units are present in the same window."""
    shares = np.array([example["scores"]["action_units"] for example in examples])
    shares = shares[~np.isnan(shares).any(axis=1)].astype(np.float64).round(6)
    present = (shares >= least).astype(int)
    return {
        "names": list(AU_NAMES),
        "mean_proportion": _mean(shares),
        "present": _mean(present),
        "together": (present.T @ present).tolist(),
    }


def _mean(rows: Float[np.ndarray, "windows units"] | np.ndarray) -> list[float]:
    return rows.mean(axis=0).round(4).tolist() if len(rows) else [0.0] * len(AU_NAMES)


def _unknown(examples: list[dict], lines: list[ledger.Entry]) -> dict[str, int]:
    """Windows without a face label, by the reason in the ledger."""
    reasons = {line.clip: _general(line.reason) for line in lines if line.stage == "face"}
    faces = [
        name for name in examples[0]["labels"]
        if name in registry.TASKS and "success" in registry.TASKS[name].inputs
    ]  # fmt: skip
    clips = [e["clip"].decode() for e in examples if all(e["labels"][name] < 0 for name in faces)]
    return dict(Counter(reasons.get(clip, "no face tracked") for clip in clips))


def _votes(examples: list[dict], classes: list[str]) -> dict[str, Mapping[str, int]]:
    """Clips per most chosen class, and ties, by what raters saw; only what was rated."""
    counts = {}
    for row, kind in enumerate(("multimodal", "voice", "face")):
        votes = np.array([example["votes"][row] for example in examples])
        winners = (votes == votes.max(axis=1, keepdims=True, initial=0)) & (votes > 0)
        unique = winners.sum(axis=1) == 1
        if winners.any():
            counts[kind] = dict(zip(classes, winners[unique].sum(axis=0).tolist(), strict=True))
            counts[kind]["tie"] = int((winners.sum(axis=1) > 1).sum())
    return counts


def _ledger(lines: list[ledger.Entry]) -> list[dict[str, Any]]:
    """Reasons with their numbers and file names taken out, most frequent first."""
    counts = Counter((line.stage, _general(line.reason)) for line in lines)
    first: dict[tuple[str, str], str] = {}
    for line in lines:
        first.setdefault((line.stage, _general(line.reason)), line.clip)
    return [
        {"stage": stage, "reason": reason, "clips": count, "first": first[stage, reason]}
        for (stage, reason), count in counts.most_common()
    ]


def _general(reason: str) -> str:
    """The reason without numbers and file names, which differ from clip to clip."""
    reason = re.sub(r"(same sound as) .*", r"\1 another clip", reason)
    reason = re.sub(r"[^\s:]*\.\w{2,4}: ", "", reason)
    return re.sub(r"\d+(\.\d+)?", "…", reason)
