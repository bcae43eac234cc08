"""What two runs must share for a test between them to mean something.

That is the label, the scope of normalisation and, of tests on another corpus, what was tested.
"""

from collections.abc import Mapping
from typing import Any

from sersl_jax.evaluation import label_rule

SCOPES = {
    "train": "LLDs z-normalised by the training speakers",
    "speaker": "LLDs z-normalised by each speaker's own clips (test speakers' too; the paper "
    "does not say over what it normalises)",
    "utterance": "LLDs z-normalised clip by clip",
}


def create(results: Mapping[str, Any]) -> dict[str, Any]:
    """The label rule, the scope of normalisation and the other corpus of what `results.json` holds.

    A run from before there was a choice of scopes has `train`. Ties and seed are those of votes,
    so the intended emotion has none.
    """
    config, rule = results["config"], dict(results["label_rule"])
    if rule.get("source") == "intended":
        rule = {"source": "intended"}
    scope = config.get("data", {}).get("normalise", "train")
    return {"label_rule": rule, "normalise": scope, "tested": _tested(results.get("evaluated"))}


def _tested(evaluated: Mapping[str, Any] | None) -> str:
    """The corpus that `evaluate` tested on, and how; "" for a run's own test."""
    if not evaluated:
        return ""
    mapped = "".join(f", {one} as {other}" for one, other in evaluated["map"].items())
    shared = f", only {', '.join(evaluated['classes'])}" if evaluated["only_shared"] else ""
    return f"{evaluated['dataset']}{mapped}{shared}"


def describe(results: Mapping[str, Any]) -> str:
    """A phrase for people."""
    label = label_rule.describe(results["label_rule"])
    if results.get("evaluated"):
        label = f"tested on {_tested(results['evaluated'])}; {label}"
    if results["config"].get("model", {}).get("embed") == "waveform":
        return label
    return f"{label}; {SCOPES[create(results)['normalise']]}"


def difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> str | None:
    """The first point in which two settings (of `create`) differ, as a phrase."""
    rules = one["label_rule"], other["label_rule"]
    for key in {**rules[0], **rules[1]}:
        if rules[0].get(key) != rules[1].get(key):
            return f"label rule {key}={rules[0].get(key)} against {key}={rules[1].get(key)}"
    if one["normalise"] != other["normalise"]:
        return f"data.normalise={one['normalise']} against {other['normalise']}"
    tested = [each["tested"] or "its own corpus" for each in (one, other)]
    if tested[0] != tested[1]:
        return f"tested on {tested[0]} against {tested[1]}"
    return None
