"""Turns a corpus into a dataset: python -m sersl_jax.prepare --dataset=speech/crema_d --source=DIR.

The same command after an interruption continues where it stopped.
"""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from sersl_jax import cli


def define_flags() -> None:
    """The flags of the command."""
    flags.DEFINE_string("dataset", None, "pretext/CORPUS or speech/CORPUS.", required=True)
    flags.DEFINE_string("source", None, "Folder of the corpus.")
    flags.DEFINE_string("data_dir", None, "Where datasets go ($SERSL_DATA_DIR).")
    flags.DEFINE_integer("workers", None, "Clips measured at a time (default: cores).")
    flags.DEFINE_integer("limit", None, "Take the first clips only.")
    flags.DEFINE_bool("strict", False, "Fail if any clip can't be used.")
    flags.DEFINE_bool("overwrite", False, "Replace a dataset that was made otherwise.")
    flags.DEFINE_bool("relabel", False, "New labels from the stored scores; reads no media.")
    flags.DEFINE_bool("track_faces", False, "Track the faces of videos without a CSV first.")
    flags.DEFINE_bool("dry_run", False, "Say what is there and what would be made; write nothing.")
    flags.DEFINE_string("beam_runner", None, "DirectRunner, FlinkRunner, ... with [beam].")
    flags.DEFINE_string("beam_options", "", "Beam's own flags, separated by spaces.")
    flags.DEFINE_string("file_format", "array_record", "array_record, or tfrecord with [tf].")
    flags.DEFINE_list("features", None, "llds, or llds,waveform.")
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
    from sersl_jax.datasets import preparation
    from sersl_jax.reports import label_card

    values = {flag.name: flag.value for flag in flags.FLAGS.flags_by_module_dict()[argv[0]]}
    given = {name: value for name, value in values.items() if value is not None}
    if given.pop("dry_run"):
        print(preparation.dry_run(**given))
    else:
        label_card.write(Path(preparation.prepare(**given).data_path))


if __name__ == "__main__":
    cli.run(main, define_flags)
