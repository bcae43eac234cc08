"""Turns a corpus into a dataset: python -m sersl_jax.prepare --dataset=speech/crema_d --source=DIR.

The same command after an interruption continues where it stopped. Several datasets, separated by
commas, are made one after the other, from as many sources or all from one; one that cannot be made
does not stop the others.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from sersl_jax import cli, corpora, datasets


def define_flags() -> None:
    """The flags of the command."""
    flags.DEFINE_list("dataset", None, "pretext/CORPUS or speech/CORPUS, ...", required=True)
    flags.DEFINE_string("source", None, "Folder of the corpus; of several datasets, one each.")
    flags.DEFINE_string("data_dir", None, "Where datasets go ($SERSL_DATA_DIR).")
    flags.DEFINE_integer("workers", None, "Clips measured at a time (default: cores).", 1)
    flags.DEFINE_integer("limit", None, "Take the first clips only.", 1)
    flags.DEFINE_bool("strict", False, "Fail if any clip can't be used.")
    flags.DEFINE_bool("overwrite", False, "Replace a dataset that was made otherwise.")
    flags.DEFINE_bool("relabel", False, "New labels from the stored scores; reads no media.")
    flags.DEFINE_bool("track_faces", False, "Track the faces of videos without a CSV first.")
    flags.DEFINE_bool(
        "dry_run", False, "Say what is there and what would be made; prepare nothing."
    )
    flags.DEFINE_string("beam_runner", None, "DirectRunner, FlinkRunner, ... with [beam].")
    flags.DEFINE_string("beam_options", "", "Beam's own flags, separated by spaces.")
    flags.DEFINE_string("file_format", "array_record", "array_record, or tfrecord with [tf].")
    flags.DEFINE_list("features", None, "llds, or llds,waveform.")
    flags.DEFINE_list("classes", None, "Emotions to take: anger,happiness+excited,... (all).")
    flags.DEFINE_float("pitch_window", None, "Seconds of the pitch window.")
    flags.DEFINE_float("window", None, "Seconds of a pretext window.")
    flags.DEFINE_float("hop", None, "Seconds between pretext windows.")
    flags.DEFINE_enum("frame_of_reference", None, ["image", "face"], "Of face movement.")
    flags.DEFINE_enum("match", None, ["any", "all"], "Top action units that an emotion needs.")
    flags.DEFINE_float("min_proportion", None, "Share of frames from which on a unit is present.")
    flags.DEFINE_enum("face_backend", None, ["openface", "mediapipe"], "Who tracked the faces.")


def main(argv: Sequence[str]) -> None:
    """Prepares what the flags say."""
    if argv[1:]:
        raise ValueError(f"unknown argument {argv[1]!r}: flags look like --source=DIR")
    values = {flag.name: flag.value for flag in flags.FLAGS.flags_by_module_dict()[argv[0]]}
    given = {name: value for name, value in values.items() if value is not None}
    names = given.pop("dataset") or [""]
    for name in names:
        corpora.get(datasets.parse_name(name)[1])
    if len({*names}) < len(names):
        raise ValueError(
            "--dataset names a dataset twice: join the sources, or take two --data_dir"
        )
    sources = _sources(given.pop("source", None), names)
    if len(names) == 1:
        _prepare(dataset=names[0], source=sources[0], **given)
    else:
        _prepare_all(dict(zip(names, sources, strict=True)), **given)


def _sources(given: str | None, names: Sequence[str]) -> list[str | None]:
    """A source for each dataset; raises ValueError where their numbers differ."""
    if given is None or len(names) == 1:
        return [given] * len(names)
    sources: list[str | None] = [*given.split(",")]
    if len(sources) not in (1, len(names)):
        raise ValueError(
            f"--source names {len(sources)} folders for {len(names)} datasets: give one for all, "
            "or one each, in the same order"
        )
    return sources if len(sources) > 1 else sources * len(names)


def _prepare_all(sources: Mapping[str, str | None], **given: Any) -> None:
    """One dataset after the other; raises ValueError at the end where some could not be made."""
    failed = []
    for number, (name, source) in enumerate(sources.items(), start=1):
        print(f"{number} of {len(sources)}: {name}", file=sys.stderr)
        try:
            _prepare(dataset=name, source=source, **given)
        except (ValueError, OSError) as error:
            failed.append(f"{name}: {error}")
    if failed:
        raise ValueError(f"{len(failed)} of {len(sources)} not made; {'; '.join(failed)}")


def _prepare(dry_run: bool, **given: Any) -> None:
    from sersl_jax.datasets import preparation
    from sersl_jax.reports import label_card

    if dry_run:
        print(preparation.dry_run(**given))
    else:
        label_card.write(Path(preparation.prepare(**given).data_path))


if __name__ == "__main__":
    cli.run(main, define_flags)
