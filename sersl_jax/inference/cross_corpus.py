"""A trained run tested on a corpus that it was not trained on; the files are those of a run."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from sersl_jax.config import Config
from sersl_jax.evaluation import attributes, baselines, prediction_rows, results
from sersl_jax.evaluation.splits import Split
from sersl_jax.inference import members
from sersl_jax.inference.target import Model, Target, Test, open_test
from sersl_jax.reports import run as report
from sersl_jax.training import testing
from sersl_jax.training.normaliser import scope_notes

PROTOCOL = "cross-corpus"


def evaluate(model: Model, target: Target, out: Path) -> dict[str, Any]:
    """Tests every member on every clip of `target`, writes the files to `out`, returns the results.

    Raises:
        LeakError: the run has learnt the emotions of these speakers, or from these clips.
        ValueError: classes that are unknown or not shared, nothing in common, or features unlike
            the run's.
        FileNotFoundError: the dataset is not prepared.
    """
    start_time = time.time()
    if (out / "config.json").exists():
        raise ValueError(f"{out} holds a run, whose files would be replaced: take another --out")
    test = open_test(model, target)
    predictions, averaged = _predict(test)
    lines = {}
    if test.matched.classes:
        lines["majority"] = baselines.majority(predictions, {})
    if test.trained is not None and test.dataset.input_name == "llds":
        lines |= members.reference_lines(test, test.trained)
    written = results.write(
        out,
        predictions,
        [_split(name, test.clips) for name in model.ensemble.splits],
        {**asdict(model.ensemble.config), "name": model.name},
        PROTOCOL,
        test.label_rule,
        testing.environment() | {"seconds": round(time.time() - start_time)},
        corpus=test.clips,
        classes=test.matched.classes,
        warnings=scope_notes(model.ensemble.scope),
        base_config=asdict(Config()),
        baselines=lines,
        evaluated=_stamp(test, averaged),
        attributes=_attributes(test),
    )
    report.write(out)
    return written


def _split(name: str, clips: pd.DataFrame) -> Split:
    """A split's network tests all speakers; whom it was trained on is another corpus's affair."""
    return Split(name, (), (), tuple(sorted({*clips["speaker_id"]})))


def _predict(test: Test) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Rows of `predictions.csv`, every split's network on every clip; metrics of their average."""
    ensemble, matched = test.model.ensemble, test.matched
    every = members.answers(ensemble, test.dataset, test.clips["example"].to_numpy())
    rows = [_rows(test, name, each) for name, each in zip(ensemble.splits, every, strict=True)]
    averaged = _rows(test, "all", every.mean(axis=0))
    score = attributes.metrics_of(averaged, ["all"])[0]
    if matched.classes:
        score |= results.score(averaged, matched.classes, matched.answers)["mean"]
    return pd.concat(rows, ignore_index=True), score


def _rows(test: Test, name: str, answers: Float[np.ndarray, "clips answers"]) -> pd.DataFrame:
    """A split's rows, from its probabilities of its own classes and its attributes."""
    ensemble, split = test.model.ensemble, _split(name, test.clips)
    examples = test.clips["example"].to_numpy()
    number = len(ensemble.labels)
    if test.matched.classes:
        chosen, names = test.matched.restrict(answers[:, :number], ensemble.labels)
        found = prediction_rows.classified(split, test.clips, examples, chosen, names)
    else:
        found = prediction_rows.bare(split, test.clips, examples)
    places = {own: place for place, own in enumerate(ensemble.attributes, start=number)}
    for task in test.attributes:
        own = answers[:, places[task.name]]
        values = task.rescale(own, *ensemble.attributes[task.name])
        prediction_rows.add_attribute(found, task.name, values)
    return found


def _attributes(test: Test) -> dict[str, dict[str, Any]]:
    """Scales of the target and of the run, and the run's loss, for `results.json`."""
    loss, own = test.model.ensemble.config.finetune.attribute_loss, test.model.ensemble.attributes
    return {
        task.name: {**task.stamp(), "loss": loss, "trained_scale": [*own[task.name]]}
        for task in test.attributes
    }


def _stamp(test: Test, averaged: Mapping[str, float]) -> dict[str, Any]:
    """What `results.json` says of the test, beside a run's own keys."""
    said = [f"CCC of {task.name} {averaged[f'ccc_{task.name}']:.3f}" for task in test.attributes]
    if test.matched.classes:
        values = (100 * averaged[name] for name in ("uar", "macro_f1", "micro_f1"))
        said = ["UAR {:.1f}, macro F1 {:.1f}, accuracy {:.1f} per cent".format(*values), *said]
    return {
        "checkpoint": test.model.origin,
        "trained_on": test.model.trained_on,
        "dataset": test.dataset.name,
        **test.matched.stamp(),
        "averaged": dict(averaged),
        "notes": [*test.notes, f"the members' average, which predict gives, has {', '.join(said)}"],
    }
