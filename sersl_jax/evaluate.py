"""Another corpus: `python -m sersl_jax.evaluate --checkpoint=runs/x --dataset=speech/emodb`.

Every split's model is tested on every clip. Classes are matched by name, attributes mapped onto
the scale of the corpus; the files are those of a run, and `compare` takes them. Several runs or
datasets, separated by commas or spaces, make a table, source by target. Without --checkpoint, or as
"default", the model in the package is tested.
"""

from collections.abc import Sequence

from absl import flags

from sersl_jax import cli, corpora, datasets
from sersl_jax.evaluation import matching


def define_flags() -> None:
    """The flags of the command."""
    flags.DEFINE_list("checkpoint", ["default"], "Directories of runs [the model in the package].")
    flags.DEFINE_list("dataset", None, "speech/CORPUS, ...", required=True)
    flags.DEFINE_list("source", [], "Folders of the raw corpora, one a dataset: prepares them.")
    flags.DEFINE_string("data_dir", None, "Where datasets are ($SERSL_DATA_DIR).")
    flags.DEFINE_string(
        "trained_data_dir", None, "Where the runs' training data are, if elsewhere."
    )
    flags.DEFINE_list("map", [], "Classes of other names: theirs=ours,...")
    flags.DEFINE_bool("only_shared", False, "Leave out classes that only one side knows.")
    flags.DEFINE_string("out", None, "Directory of the outputs [runs/NAME_on_CORPUS].")


def main(argv: Sequence[str]) -> int:
    """Tests what the command line names; returns the exit code."""
    chosen = flags.FLAGS
    checkpoints, names = [*chosen.checkpoint] or ["default"], [*chosen.dataset]
    for other in argv[1:]:  # --checkpoint a b --dataset c d
        (names if other.startswith("speech/") else checkpoints).append(other)
    if not names:
        raise ValueError("--dataset is empty: name the corpora, such as speech/emodb")
    if len({*checkpoints}) < len(checkpoints) or len({*names}) < len(names):
        raise ValueError("a run or a dataset is named twice")
    if chosen.source and len(chosen.source) != len(names):
        raise ValueError(f"--source names {len(chosen.source)} folders for {len(names)} datasets")
    renamed = matching.parse(chosen.map)
    for name in names:
        corpora.get(datasets.parse_name(name)[1])
    from sersl_jax import sharding  # after the flags, so that a wrong one is told at once
    from sersl_jax.inference import ensemble, matrix
    from sersl_jax.inference.target import Target

    sharding.use_cores(ensemble.MAX_ROWS)
    sharding.keep_programs()
    sources = chosen.source or [None] * len(names)
    targets = [
        Target(name, source, chosen.data_dir, chosen.trained_data_dir, renamed, chosen.only_shared)
        for name, source in zip(names, sources, strict=True)
    ]
    return matrix.run(checkpoints, targets, chosen.out)


if __name__ == "__main__":
    cli.run(main, define_flags)
