"""Emotions of recordings: `python -m sersl_jax.predict [--checkpoint=runs/ssl1] clip.wav talk.mp4`.

Takes files of any audio or video format, folders, quoted globs, and `-` for a sound on stdin.
Results go to stdout; a file that can't be used is a line on stderr, and the exit code is 1 then.
"""

import contextlib
import glob
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import flags
from tqdm import tqdm

from sersl_jax import cli, files

if TYPE_CHECKING:
    from sersl_jax.inference.recognizer import Prediction, Recognizer

_DEFAULT_IS = "the model in the package knows six acted emotions of English speakers (CREMA-D)"
_MANY = 10  # files from which on progress is shown


@dataclass(frozen=True)
class Options:
    """The command's flags; see `define_flags`."""

    checkpoint: str | None = None
    members: Sequence[str] | None = None
    timeline: bool = False
    window: float = 2.0
    hop: float = 0.5
    format: str = "table"
    embeddings: str | None = None
    abstain: float = 0.0
    speaker_from: str | None = None


def define_flags() -> None:
    """The flags of the command."""
    flags.DEFINE_string("checkpoint", None, "A run's directory [the model in the package].")
    flags.DEFINE_list("members", None, "Splits whose models are averaged [all].")
    flags.DEFINE_bool("timeline", False, "A prediction for every window.")
    flags.DEFINE_float("window", 2.0, "Length of the timeline's windows, in s.")
    flags.DEFINE_float("hop", 0.5, "From window to window, in s.")
    flags.DEFINE_enum("format", "table", ["table", "json", "csv"], "Of what is printed.")
    flags.DEFINE_string("embeddings", None, "Also writes the representations: X.npz.")
    flags.DEFINE_float("abstain", 0.0, "No label where its probability is below this.", 0.0, 1.0)
    sources = ["folder", "file"]
    flags.DEFINE_enum("speaker_from", None, sources, "What holds one speaker's clips [unknown].")


def main(argv: Sequence[str]) -> int:
    """Predicts the files that the command line names; returns the exit code."""
    if len(argv) < 2:
        raise ValueError("name the files: python -m sersl_jax.predict clip.wav")
    from sersl_jax import sharding
    from sersl_jax.inference import ensemble

    sharding.use_cores(ensemble.MAX_ROWS)
    values: dict[str, Any] = {f.name: flags.FLAGS[f.name].value for f in fields(Options)}
    return run(argv[1:], Options(**values))


def run(arguments: Sequence[str], options: Options) -> int:
    """Loads the run, predicts every file, prints; returns the exit code."""
    if options.embeddings and not Path(options.embeddings).absolute().parent.is_dir():
        raise ValueError(f"--embeddings={options.embeddings}: there is no such folder")
    files = list(expand(arguments))
    recognizer = _load(options.checkpoint)
    if not options.checkpoint:
        print(f"note: {_DEFAULT_IS}", file=sys.stderr)
    answers = _Answers(recognizer, files, options)
    attributes = tuple(recognizer.attributes)
    from sersl_jax.inference.formats import Format

    form = Format(recognizer.labels, options.timeline, options.abstain, attributes)
    getattr(form, options.format)(iter(answers))
    if options.embeddings:
        answers.write_embeddings(Path(options.embeddings))
    return int(answers.failed)


class _Answers:
    """Iterates over (file, prediction) of all usable files; reports the others on stderr."""

    def __init__(self, recognizer: "Recognizer", files: Sequence[str], options: Options):
        self.recognizer, self.files, self.options = recognizer, files, options
        self.failed = False
        self.embedded: list[tuple[str, float, float, np.ndarray]] = []

    def __iter__(self) -> Iterator["tuple[str, Prediction]"]:
        with _stdin_file(self.files) as paths:
            bar = tqdm(self._all(paths), total=len(paths), unit="file", disable=self._quiet())
            for file, path, found in zip(self.files, paths, bar, strict=True):
                if isinstance(found, Exception):
                    self.failed = True
                    tqdm.write(f"error: {_line(path, found).replace(path, file)}", sys.stderr)
                    continue
                yield from ((file, prediction) for prediction in self._noted(file, found))

    def _quiet(self) -> bool | None:
        return None if len(self.files) >= _MANY else True  # None: where stderr is a terminal

    def _all(self, paths: Sequence[str]) -> Iterator["list[Prediction] | Exception"]:
        options = self.options
        from sersl_jax.inference import speakers

        own = speakers.normalisers(self.recognizer, paths, options.speaker_from)
        if not options.timeline:
            for found in self.recognizer.predict_all(paths, None, options.members, own):
                yield found if isinstance(found, Exception) else [found]
            return
        for path, normaliser in zip(paths, own, strict=True):
            try:
                yield self.recognizer.timeline(
                    path, None, options.window, options.hop, options.members, normaliser
                )
            except (ValueError, OSError) as error:
                yield error

    def _noted(self, file: str, found: "list[Prediction]") -> "list[Prediction]":
        from sersl_jax.inference.prediction import ALONE

        notes = [note for note in found[0].notes if note != ALONE]  # told once for all
        common = [note for note in notes if all(note in f.notes for f in found)]
        if common:
            tqdm.write(f"note: {file}: {', '.join(common)}", sys.stderr)
        if self.options.embeddings:
            self.embedded += [(file, f.start, f.end, f.embedding) for f in found]
        return found

    def write_embeddings(self, path: Path) -> None:
        """Arrays files, start, end (s) and embeddings, a row a prediction."""
        columns = zip(*self.embedded, strict=True) if self.embedded else ([],) * 4
        arrays = dict(
            zip(("files", "start", "end", "embeddings"), map(np.array, columns), strict=True)
        )

        def write(temporary: Path) -> None:
            with temporary.open("wb") as file:
                np.savez(file, **arrays)

        files.write_atomically(path, write)


def expand(arguments: Sequence[str]) -> Iterator[str]:
    """Files of files, folders (searched for sound and video) and globs; `-` stays.

    A name that matches nothing stays too, and is reported in its turn. Raises ValueError for a
    folder without sound or video.
    """
    for argument in arguments:
        if os.path.isdir(argument):
            from sersl_jax.corpora.folder import SUFFIXES

            found = (path for path in Path(argument).rglob("*") if path.suffix.lower() in SUFFIXES)
            names = sorted(str(path) for path in found if path.is_file())
            if not names:
                raise ValueError(
                    f"{argument} holds no sound or video ({' '.join(sorted(SUFFIXES))})"
                )
            yield from names
        elif argument == "-" or os.path.exists(argument):
            yield argument
        else:
            yield from sorted(glob.glob(argument, recursive=True)) or [argument]


@contextlib.contextmanager
def _stdin_file(files: Sequence[str]) -> Iterator[list[str]]:
    """The files' paths; what is on stdin (`-`) goes through a temporary file."""
    if "-" not in files:
        yield list(files)
        return
    with tempfile.NamedTemporaryFile(suffix=".wav") as copy:
        shutil.copyfileobj(sys.stdin.buffer, copy)
        copy.flush()
        yield [copy.name if file == "-" else file for file in files]


def _load(checkpoint: str | None) -> "Recognizer":
    """The run; compiled programs are kept on disk for the next call."""
    from sersl_jax import sharding  # after the flags, so that a wrong one is told at once
    from sersl_jax.inference.load import load

    sharding.keep_programs()
    return load(checkpoint)


def _line(file: str, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{file}: no such file"
    if isinstance(error, OSError):
        return f"{file}: {error.strerror or error}"
    text = " ".join(str(error).split())
    return text if file in text else f"{file}: {text}"


if __name__ == "__main__":
    cli.run(main, define_flags)
