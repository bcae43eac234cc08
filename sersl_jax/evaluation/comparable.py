"""Which runs may be compared, and on which splits; what differs is named."""

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sersl_jax.evaluation import results, setting
from sersl_jax.evaluation.runs import Run, read


def read_all(paths: Iterable[str | Path]) -> list[Run]:
    """Runs that are comparable, on the splits that all have.

    Raises ValueError that names the first difference.
    """
    groups = read_apart(paths)
    if len(groups) > 1:
        one, other = groups[0][0], groups[1][0]
        difference = setting.difference(*(setting.create(r.results) for r in (one, other)))
        raise ValueError(_refusal(one, other, difference))
    return groups[0]


def read_apart(paths: Iterable[str | Path]) -> list[list[Run]]:
    """Runs in groups of one label rule and one scope of normalisation, each as of `read_all`.

    Other software's predictions go where their labels fit. Raises ValueError for runs of one group
    that differ otherwise.
    """
    runs = [read(path) for path in paths]
    known = {
        clip: speaker
        for run in runs
        if "speaker_id" in run.predictions
        for clip, speaker in zip(
            run.predictions["clip"], run.predictions["speaker_id"], strict=True
        )
    }
    names = Counter(run.name for run in runs)
    runs = [replace(run, namesakes=names[run.name] > 1) for run in runs]
    runs = [_same_classes(_with_speakers(run, known), runs) for run in runs]
    stamped = [run for run in runs if run.results]
    firsts = [
        run for k, run in enumerate(stamped) if not any(_fits(run, other) for other in stamped[:k])
    ]
    places = [next((k for k, first in enumerate(firsts) if _fits(run, first)), 0) for run in runs]
    groups = [[r for r, p in zip(runs, places, strict=True) if p == k] for k in sorted({*places})]
    return [_comparable(group) for group in groups]


def _fits(run: Run, first: Run) -> bool:
    if run.results and first.results:
        return setting.create(run.results) == setting.create(first.results)
    shared = common_splits([run, first])
    return bool(shared) and not _rows_differ(restrict(run, shared), restrict(first, shared))


def _comparable(runs: list[Run]) -> list[Run]:
    """The runs on the splits that all have; refuses what differs there, naming it."""
    for other in runs[1:]:
        difference = _protocols_differ(runs[0], other) or _splits_differ(runs[0], other)
        if difference:
            raise ValueError(_refusal(runs[0], other, difference))
    shared = common_splits(runs)
    if not shared:
        raise ValueError(f"{', '.join(str(run.path) for run in runs)} have no split in common")
    runs = [restrict(run, shared) for run in runs]
    for other in runs[1:]:
        difference = _rows_differ(runs[0], other)
        if difference:
            raise ValueError(_refusal(runs[0], other, difference))
    return runs


def common_splits(runs: Sequence[Run]) -> list[str]:
    """Names of the splits that all runs have, in a fixed order."""
    return [name for name in runs[0].splits if all(name in run.splits for run in runs)]


def restrict(run: Run, splits: Sequence[str]) -> Run:
    """The run on some of its splits alone, its reference lines too."""
    left_out = len(run.splits) - len(splits)
    if not left_out:
        return run
    rows = run.predictions[run.predictions["split"].isin(splits)].reset_index(drop=True)
    return replace(run, predictions=rows, results=_chosen(run.results, splits), left_out=left_out)


def _chosen(saved: dict[str, Any], splits: Sequence[str]) -> dict[str, Any]:
    """`results.json` as if of these splits alone; a line that other splits were scored on goes."""
    if not saved:
        return saved
    kept = [str(entry["seed"]) in splits for entry in saved["splits"]]
    entries = list(itertools.compress(saved["splits"], kept))
    lines = {
        name: list(itertools.compress(line["splits"], kept))
        for name, line in saved.get("baselines", {}).items()
        if len(line["splits"]) == len(kept)
    }
    summaries = {
        name: {"splits": line, **results.summary([entry["metrics"] for entry in line])}
        for name, line in lines.items()
    }
    own = results.summary([entry["metrics"] for entry in entries])
    return saved | {"splits": entries, "baselines": summaries} | own


def _refusal(one: Run, other: Run, difference: str | None) -> str:
    return (
        f"{one.path} and {other.path} can't be compared: {difference}. Run both on the same "
        "splits and labels"
    )


def _protocols_differ(one: Run, other: Run) -> str | None:
    if not (one.results and other.results):
        return None
    protocols = one.results["protocol"], other.results["protocol"]
    return f"protocol {protocols[0]} against {protocols[1]}" if len({*protocols}) > 1 else None


def _splits_differ(one: Run, other: Run) -> str | None:
    entries = [{str(e["seed"]): e for e in run.results.get("splits", ())} for run in (one, other)]
    for name in entries[0].keys() & entries[1].keys():
        ours, theirs = entries[0][name], entries[1][name]
        if ours["hash"] != theirs["hash"]:
            return f"split {name}: {_speaker_difference(ours['speakers'], theirs['speakers'])}"
    return None


def _speaker_difference(ours: dict[str, list[str]], theirs: dict[str, list[str]]) -> str:
    sides = (
        f"{side} speaker{'s' * (len(apart) > 1)} {', '.join(sorted(apart)[:6])} in one only"
        for side in ours
        if (apart := set(ours[side]) ^ set(theirs[side]))
    )
    return "; ".join(sides)


def _rows_differ(one: Run, other: Run) -> str | None:
    truths = ["label"] if one.classes else one.attributes
    for run in (one, other):
        if missing := [name for name in truths if name not in run.predictions]:
            return f"{run.path} has no column {', '.join(missing)}"
    columns = ["split", "clip", "speaker_id", *truths]
    tables = [run.predictions[columns].astype(object).fillna("") for run in (one, other)]
    both = tables[0].merge(tables[1], how="outer", on=["split", "clip"], indicator=True)
    apart = both.query('_merge != "both"').to_dict("records")
    if apart:
        split, clip = apart[0]["split"], apart[0]["clip"]
        return f"split {split}: clip {clip} is tested in one only ({len(apart)} clips in all)"
    for column, noun, said in (
        ("speaker_id", "speaker", "is spoken by"),
        *((name, "label", "is labelled") for name in truths),
    ):
        wrong = both.query(f"{column}_x != {column}_y").to_dict("records")
        if wrong:
            first = wrong[0]
            return (
                f"split {first['split']}: clip {first['clip']} {said} {first[f'{column}_x']} "
                f"against {first[f'{column}_y']} ({len(wrong)} {noun}s differ)"
            )
    return None


def _with_speakers(run: Run, known: dict[str, str]) -> Run:
    """Speakers of a foreign file, taken from the runs beside it; else each clip is its own."""
    if "speaker_id" in run.predictions:
        return run
    speakers = [known.get(clip, clip) for clip in run.predictions["clip"]]
    table = run.predictions.assign(speaker_id=speakers)
    return replace(run, predictions=table)


def _same_classes(run: Run, runs: Sequence[Run]) -> Run:
    """All runs count the same classes in the same order: the first run's that knows them.

    Tests on other corpora have classes of their own; who differs in them is in another group. So
    are runs without any, which have learnt attributes alone.
    """
    if run.results.get("evaluated") or not run.classes:
        return run
    named = [other for other in runs if other.classes]
    known = [other for other in named if other.results]
    trained = [other for other in known if not other.results.get("evaluated")]
    classes = (trained or known or named)[0].classes
    said = {*run.predictions["label"], *run.predictions["prediction"]}
    strange = sorted(said - set(classes))
    if strange:
        raise ValueError(
            f"{run.path} has the class {', '.join(strange)}, which is none of {', '.join(classes)}"
        )
    return replace(run, classes=classes)
