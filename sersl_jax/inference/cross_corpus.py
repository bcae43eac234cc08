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
from sersl_jax.evaluation import baselines, results
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
        ValueError: classes that are unknown or not shared, or features unlike the run's.
        FileNotFoundError: the dataset is not prepared.
    """
    start_time = time.time()
    if (out / "config.json").exists():
        raise ValueError(f"{out} holds a run, whose files would be replaced: take another --out")
    test = open_test(model, target)
    predictions, averaged = _predict(test)
    lines = {"majority": baselines.majority(predictions, {})}
    if test.trained is not None and test.dataset.input_name == "llds":
        ensemble = model.ensemble
        lines |= members.svm_lines(ensemble, test.trained, test.dataset, test.clips, test.matched)
    written = results.write(
        out,
        predictions,
        [_split(name, test.clips) for name in model.ensemble.names],
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
    )
    report.write(out)
    return written


def _split(name: str, clips: pd.DataFrame) -> Split:
    """A member tests all speakers; whom it was trained on is another corpus's affair."""
    return Split(name, (), (), tuple(sorted({*clips["speaker_id"]})))


def _predict(test: Test) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Rows of `predictions.csv`, every member on every clip; metrics of the members' average."""
    ensemble, matched = test.model.ensemble, test.matched
    every = members.probabilities(ensemble, test.dataset, test.clips["example"].to_numpy())
    rows = [_rows(test, name, p) for name, p in zip(ensemble.names, every, strict=True)]
    averaged = _rows(test, "all", every.mean(axis=0))
    score = results.score(averaged, matched.classes, matched.answers)
    return pd.concat(rows, ignore_index=True), score["mean"]


def _rows(test: Test, name: str, p: Float[np.ndarray, "clips classes"]) -> pd.DataFrame:
    """A member's rows, from its probabilities of its own classes."""
    chosen, names = test.matched.restrict(p, test.model.ensemble.labels)
    examples = test.clips["example"].to_numpy()
    return testing.prediction_rows(_split(name, test.clips), test.clips, examples, chosen, names)


def _stamp(test: Test, averaged: Mapping[str, float]) -> dict[str, Any]:
    """What `results.json` says of the test, beside a run's own keys."""
    values = (100 * averaged[name] for name in ("uar", "macro_f1", "micro_f1"))
    said = "UAR {:.1f}, macro F1 {:.1f}, accuracy {:.1f} per cent".format(*values)
    return {
        "checkpoint": test.model.origin,
        "trained_on": test.model.trained_on,
        "dataset": test.dataset.name,
        **test.matched.stamp(),
        "averaged": dict(averaged),
        "notes": [*test.notes, f"the members' average, which predict gives, has {said}"],
    }
