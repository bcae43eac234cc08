"""What is fuzzed: how an input is made of a good one, and how it is read."""

import json
import random
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from absl import flags
from ml_collections import config_flags

from sersl_jax import config
from sersl_jax.corpora import folder as corpus
from sersl_jax.corpora import synthetic
from sersl_jax.evaluation import protocol, runs
from sersl_jax.features import audio, media, openface
from sersl_jax.training import export_folder
from tests.faults import mutations
from tests.features.test_audio import tone, write_video

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Target:
    """`make(seeds, place, luck)` writes an input into `place`; `read` takes what it returns.

    `start(seeds)` does what a process does once, which is no input's time.
    """

    make: Callable[[Path, Path, random.Random], Any]
    read: Callable[[Any], object]
    start: Callable[[Path], object] = lambda _: None

    @staticmethod
    def named(made: Path) -> tuple[str, ...]:
        """What a message may name."""
        return (
            (made.name, *(path.name for path in made.iterdir())) if made.is_dir() else (made.name,)
        )


def create_seeds(root: Path) -> None:
    """Good inputs of every kind."""
    synthetic.write_pretext(root / "faces", num_speakers=1, clips_per_speaker=1)
    synthetic.write_speech(root / "speech", num_speakers=2, clips_per_speaker=6)
    (root / "media").mkdir()
    rng = np.random.default_rng(0)
    sound = tone(16_000, 1.0) + rng.normal(0, 0.02, 16_000).astype(np.float32)
    for name in ("a.wav", "a.flac", "a.mp3", "a.ogg"):
        soundfile.write(root / "media" / name, sound, 16_000)
    soundfile.write(root / "media/b.wav", np.stack([sound] * 2, axis=1), 44_100, subtype="FLOAT")
    soundfile.write(root / "media/a.opus", sound, 16_000, subtype="OPUS", format="OGG")
    for name, codec in (("a.mp4", "aac"), ("a.mkv", "flac"), ("a.avi", "mp3")):
        write_video(
            root / "media" / name, codec, 16_000 if codec != "mp3" else 44_100, tone(44_100)
        )
    shutil.copytree(export_folder.DEFAULT, root / "export")
    (root / "export" / "checksums.json").unlink()  # as an older export
    (root / "run").mkdir()
    splits = [{"seed": 0, "train": ["a", "b"], "validation": ["c"], "test": ["d"]}]
    (root / "splits.json").write_text(json.dumps(splits * 2))
    rows = [
        f"0,clip{i},speaker{i % 3},{'xy'[i % 2]},{'xyy'[i % 3]},0.{i + 1},0.5" for i in range(9)
    ]
    header = "split,clip,speaker_id,label,prediction,p_x,p_y"
    (root / "predictions.csv").write_text("\n".join([header, *rows]) + "\n")


def _media(*names: str) -> Callable[[Path, Path, random.Random], Path]:
    def make(seeds: Path, place: Path, luck: random.Random) -> Path:
        name = luck.choice(names)
        path = place / f"x{luck.choice([Path(name).suffix] * 5 + ['.wav', '.mp4'])}"
        path.write_bytes(mutations.of_bytes((seeds / "media" / name).read_bytes(), luck))
        return path

    return make


def _read_sound(path: Path) -> None:
    audio.read(path)
    audio.read(path, 0.2, 0.7)


def _read_video(path: Path) -> None:
    with_length = True
    try:
        media.video_length(path)
    except media.UNREADABLE:
        with_length = False
    audio.read(path, 0.1 if with_length else 0.0)


def _file(name: str, mutate: Callable[[bytes, random.Random], bytes]):
    def make(seeds: Path, place: Path, luck: random.Random) -> Path:
        [source] = seeds.glob(name)
        (place / source.name).write_bytes(mutate(source.read_bytes(), luck))
        return place / source.name

    return make


def _folder(seeds: Path, place: Path, luck: random.Random) -> Path:
    """A corpus whose tables are wrong."""
    (place / "media").symlink_to(seeds / "speech" / "media")
    labels = (seeds / "speech" / "labels.csv").read_bytes()
    (place / "labels.csv").write_bytes(mutations.of_table(labels, luck))
    if luck.random() < 0.5:
        rows = [",".join(line.split(",")[::2][:2]) for line in labels.decode().splitlines()]
        (place / "speakers.csv").write_bytes(mutations.of_table("\n".join(rows).encode(), luck))
    return place


def _read_folder(place: Path) -> None:
    corpus.scales(corpus.clips(place))


def _export(seeds: Path, place: Path, luck: random.Random) -> Path:
    """Weights or description wrong."""
    weights, described = (seeds / "export" / n for n in (export_folder.MODEL, "config.json"))
    if luck.random() < 0.5:
        (place / export_folder.MODEL).symlink_to(weights)
        (place / "config.json").write_bytes(mutations.of_json(described.read_bytes(), luck))
        return place
    content = weights.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = mutations.of_json(content[8 : 8 + size], luck)
    told = luck.choice([len(header)] * 6 + [0, size, 2**40, 2**63])
    content = told.to_bytes(8, "little") + header + content[8 + size :]
    (place / export_folder.MODEL).write_bytes(content[: luck.choice([len(content)] * 4 + [99_999])])
    (place / "config.json").symlink_to(described)
    return place


def _read_export(place: Path) -> None:
    from sersl_jax.inference.load import load

    load(place)


def _score(path: Path) -> None:
    run = runs.read(path)
    if "speaker_id" in run.predictions:
        assert run.scores


def _values(_: Path, __: Path, luck: random.Random) -> list[str]:
    """Flags of `main`."""
    names = (
        "seed", "name", "stages", "dtype", "model.dim", "model.num_heads", "model.pooling",
        "model.dropout.attention", "data.bucket.llds", "data.normalise", "pretrain.epochs",
        "finetune.num_splits", "finetune.tasks", "finetune.helpers", "finetune.label.source",
        "finetune.optimizer.learning_rate", "pretrain.members", "finetune.class_weights", "nothing",
    )  # fmt: skip
    texts = (
        "", "0", "-1", "1e400", "nan", "inf", "9" * 300, "()", "{", "{'a': 1}", "('a',)", "True",
        "None", "[[", "ä", "1e-400", "x" * 5000, "__import__('os')", "3.7",
        "{'emotion': -1}", "{1: 2}",
    )  # fmt: skip
    chosen = luck.sample(names, luck.randint(1, 3))
    return [f"--config.{name}={luck.choice(texts)}" for name in chosen]


def _parse(values: list[str]) -> None:
    """As `cli` and `main` do."""
    sys.argv = ["main", f"--config={HERE}/tiny.py:/nowhere", *values]  # ml_collections looks there
    found = flags.FlagValues()
    config_flags.DEFINE_config_file("config", None, "", found)
    try:
        found(sys.argv)
    except (flags.Error, AttributeError, KeyError) as error:
        raise ValueError(str(error)) from error
    config.create(found.config)


TARGETS = {
    "openface": Target(_file("faces/openface/*.csv", mutations.of_table), openface.read),
    "sound": Target(_media("a.wav", "b.wav", "a.flac", "a.mp3", "a.ogg", "a.opus"), _read_sound),
    "video": Target(_media("a.mp4", "a.mkv", "a.avi"), _read_video),
    "tables": Target(_folder, _read_folder),
    "splits": Target(_file("splits.json", mutations.of_json), protocol.read_splits),
    "predictions": Target(_file("predictions.csv", mutations.of_table), _score),
    "export": Target(_export, _read_export, lambda seeds: _read_export(seeds / "export")),
    "values": Target(_values, _parse),
}
