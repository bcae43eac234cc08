"""Runs tested on corpora: one result, or a table of several, source by target."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sersl_jax import datasets, files
from sersl_jax.datasets import identity
from sersl_jax.inference.cross_corpus import evaluate
from sersl_jax.inference.learnt import OWN_FOLDERS
from sersl_jax.inference.target import DEFAULT, Model, Target, read_model
from sersl_jax.reports import matrix as page
from sersl_jax.reports import text
from sersl_jax.reports.matrix import Cell


def run(checkpoints: Sequence[str], targets: Sequence[Target], out: str | None) -> int:
    """Tests every run on every target, prints and writes; returns the exit code.

    A single pair's files go to `out` itself and its error is raised; of several, each has a folder
    in `out`, and what could not be tested is a line on stderr.
    """
    models = [read_model(checkpoint) for checkpoint in checkpoints]
    titles = _titles(models)
    if len(models) == len(targets) == 1:
        folder = Path(out or Path("runs", _folder(titles[0], targets[0])))
        print(text.table(evaluate(models[0], targets[0], folder)))
        print(f"written: {folder}/results.json, predictions.csv, report.html")
        return 0
    if not out:
        raise ValueError("--out=DIR is missing: where the table of several tests goes")
    Path(out).mkdir(parents=True, exist_ok=True)
    cells = [
        _cell(title, model, replace(target, one_of_many=True), Path(out, _folder(title, target)))
        for title, model in zip(titles, models, strict=True)
        for target in targets
    ]
    for suffix, write in {"csv": page.csv, "md": page.markdown, "html": page.create}.items():
        files.write_text(Path(out, f"matrix.{suffix}"), write(cells))
    print(page.markdown(cells))
    print(f"written: {out}/matrix.csv, .md, .html; each test in a folder beside them")
    _check_map(targets[0].renamed, cells)
    return int(any(cell.reason for cell in cells))


def _check_map(renamed: Mapping[str, str], cells: Sequence[Cell]) -> None:
    """Raises ValueError for a class of `--map` that no test had which could be done."""
    maps = [cell.results.get("evaluated", {}).get("map", {}) for cell in cells]
    unused = [one for one in renamed if not any(one in used for used in maps)]
    if unused:
        raise ValueError(f"--map names {', '.join(unused)}, which no test above has on both sides")


def _titles(models: Sequence[Model]) -> list[str]:
    """Each run's directory's name; its path where names are alike."""
    names = [m.directory.resolve().name if m.directory else DEFAULT for m in models]
    return [
        str(model.directory) if Counter(names)[name] > 1 else name
        for model, name in zip(models, names, strict=True)
    ]


def _folder(title: str, target: Target) -> str:
    return f"{title}_on_{target.dataset.split('/')[-1]}".replace("/", "_")


def _is_own(model: Model, target: Target) -> bool:
    """Whether the run was trained on this very corpus."""
    if target.dataset != model.trained_on:
        return False
    if target.dataset not in OWN_FOLDERS:
        return True
    there = datasets.find(target.dataset, target.data_dir)
    trained = model.ensemble.info["dataset"].get("fingerprint")
    return there is not None and identity.read_metadata(there)["fingerprint"] == trained


def _cell(title: str, model: Model, target: Target, folder: Path) -> Cell:
    """A test; on the run's own corpus, that of its training."""
    place = (title, model.trained_on, target.dataset)
    if model.own_results and _is_own(model, target):
        return Cell(*place, model.own_results, own=True)
    print(f"{title} on {target.dataset}", file=sys.stderr)
    try:
        return Cell(*place, evaluate(model, target, folder))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return Cell(*place, {}, reason=str(error))
