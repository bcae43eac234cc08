"""A run's directory with random parameters, made in a second; and recordings."""

import functools
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import soundfile
from ml_collections import ConfigDict

from sersl_jax import checksums, methods
from sersl_jax.config import create
from sersl_jax.corpora import synthetic_voice
from sersl_jax.features import llds
from sersl_jax.models.build import create_network
from sersl_jax.tasks import AnyTask, Task
from sersl_jax.training.checkpoint import Checkpoints
from sersl_jax.training.normaliser import Normaliser

CLASSES = ("anger", "calm", "joy")
MEMBERS = ("3", "8")


def config() -> ConfigDict:
    """The smallest network."""
    made = methods.self_supervised("ssl5")
    made.name = "tiny"
    made.model.update({"dim": 20, "num_heads": 2, "ffn_dim": 40, "num_layers": 1})
    return made


@functools.cache
def babble(seconds: float, seed: int = 0) -> np.ndarray:
    """A made-up voice at 16 kHz."""
    rng = np.random.default_rng(seed)
    voice = synthetic_voice.Voice.draw(rng)
    manner = synthetic_voice.MANNERS[("anger", "neutral", "happiness")[seed % 3]]
    return synthetic_voice.babble(voice, manner, seconds, 0.0, rng)


def write_wav(path: Path, waveform: np.ndarray, sample_rate: int = 16_000) -> Path:
    """Floats, so that reading gives exactly what was written."""
    soundfile.write(path, waveform, sample_rate, subtype="FLOAT")
    return path


@functools.cache
def trained_run() -> Path:
    """Two fine-tuned members and the pre-trained model that they might have come from."""
    folder = tempfile.TemporaryDirectory()
    _kept.append(folder)
    path = write_run(Path(folder.name, "tiny"), config(), MEMBERS)
    _save(path / "pretrain", config(), (Task("energy", ("low", "high")),), ("tiny",), seed=2)
    return path


def write_run(
    path: Path,
    chosen: ConfigDict,
    names: Sequence[str],
    tasks: Sequence[AnyTask] = (Task("emotion", CLASSES),),
) -> Path:
    """Fine-tuned members; the first one's temperature is 0.5, the others' 2."""
    _save(path / "finetune" / "0-1", chosen, tasks, names, seed=1)
    temperatures = [0.5] + [2.0] * (len(names) - 1)
    (path / "finetune" / "0-1" / "temperatures.json").write_text(json.dumps(temperatures))
    return path


def write_info(file: Path, **changes) -> None:
    """Changes what a checkpoint's `info/metadata` says, and its checksum."""
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    checksums.write(file.parents[1], ["info/metadata"])


_kept = []  # until the tests end


def _save(path: Path, chosen: ConfigDict, tasks, names, seed: int) -> None:
    network = create_network(create(chosen).model, tasks, chosen.dtype)
    shape = (1, 16_000) if chosen.model.embed == "waveform" else (1, 64, 130)
    inputs = (jnp.zeros(shape), jnp.full(1, shape[1]), None)
    shapes = jax.eval_shape(lambda: network.init(jax.random.key(0), *inputs))["params"]
    random = np.random.default_rng(seed)
    params = jax.tree.map(
        lambda leaf: random.normal(0.0, 0.2, (len(names), *leaf.shape)).astype(np.float32), shapes
    )
    x = llds.extract(babble(2.0))
    shift = np.arange(len(names), dtype=np.float32)[:, None]
    normalisers = Normaliser(x.mean(axis=0) + shift, x.std(axis=0) + 1.0 + shift)
    info = {
        "config": chosen.to_dict(),
        "tasks": {task.name: task.stamp() for task in tasks},
        "dataset": {"name": "speech/made_up", "options": {"pitch_window": 0.06}},
    }
    training = SimpleNamespace(info=info, names=names, normalisers=normalisers)
    best = SimpleNamespace(params=params, value=np.zeros(1), epoch=np.zeros(1, np.int32))
    checkpoints = Checkpoints(path)
    checkpoints.save(1, {"step": np.zeros(1)}, best, training, (1, 0), True)  # pyright: ignore
    checkpoints.close()
