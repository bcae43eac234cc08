"""Compares finished runs: `python -m sersl_jax.compare runs/supervised runs/wav2vec2 runs/ssl1`.

Prints Markdown and writes compare.md, compare.tex, compare.csv and compare.html beside the runs.
A predictions.csv of other software is taken too: columns split, clip, label, prediction, and
speaker_id and p_<class> if known. The splits that all runs have count. Runs on different label
rules, or normalised over different scopes, are shown apart and not tested against each other; runs
whose splits or labels differ otherwise are refused.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from sersl_jax import cli, files

if TYPE_CHECKING:
    from sersl_jax.evaluation.comparison import Comparison
    from sersl_jax.evaluation.runs import Run


def define_flags() -> None:
    """The flags of the command."""
    flags.DEFINE_string("ours", None, "The run said to be better than the others [the last].")
    flags.DEFINE_string("metric", None, "What is tested [macro_f1; without classes, a CCC].")
    flags.DEFINE_string("out", None, "Directory of the outputs [the first run's parent].")


def main(argv: Sequence[str]) -> None:
    """Compares the runs that are named."""
    chosen = flags.FLAGS
    run(argv[1:], chosen.ours, chosen.metric, chosen.out)


def run(
    paths: Sequence[str], ours: str | None = None, metric: str | None = None, out: str | None = None
) -> None:
    """Reads, checks and compares runs; prints and writes the tables. Raises ValueError."""
    if not paths:
        raise ValueError("name the runs to compare: python -m sersl_jax.compare runs/*")
    from sersl_jax.evaluation import comparable, comparison  # slow to import: --help is not

    groups = comparable.read_apart(paths)
    found = [run for group in groups for run in group]
    if ours is not None and _find(found, ours) is None:
        raise ValueError(f"--ours={ours} is none of the runs: {', '.join(r.name for r in found)}")
    results = [comparison.compare(group, _find(group, ours), metric) for group in groups]
    directory = Path(out) if out else Path(paths[0]).parent
    directory.mkdir(parents=True, exist_ok=True)
    texts = _texts(results)
    for suffix, text in texts.items():
        files.write_text(directory / f"compare.{suffix}", text)
    print(texts["md"])
    print(f"written: {directory}/compare.md, .tex, .csv, .html")


def _texts(results: Sequence["Comparison"]) -> dict[str, str]:
    from sersl_jax.reports import comparison as page
    from sersl_jax.reports import tables

    writers = {"md": tables.markdown, "tex": tables.latex, "csv": tables.csv, "html": page.page_of}
    return {suffix: write(results) for suffix, write in writers.items()}


def _find(found: Sequence["Run"], wanted: str | None) -> "Run | None":
    if wanted is None:
        return None
    return next((r for r in found if wanted == r.name or Path(wanted) == r.path), None)


if __name__ == "__main__":
    cli.run(main, define_flags)
