"""A trained run's network on arrays: features in, its members' mean probabilities out."""

import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType
from jaxtyping import Array, Float, Int, Num

from sersl_jax import config as configuration
from sersl_jax import sharding, tasks
from sersl_jax.config import Config
from sersl_jax.config.target import EMOTION
from sersl_jax.features import llds
from sersl_jax.features.audio import SAMPLE_RATE
from sersl_jax.models.build import create_network
from sersl_jax.tasks import AnyTask, Attribute, Task
from sersl_jax.training.normaliser import Normaliser, from_frames

_UNIT = {"llds": 64, "waveform": SAMPLE_RATE}  # about a second
_MAX_UNITS, MAX_ROWS = 96, 8  # of a batch; attention's memory grows with the square of length

Weights = Mapping[str, Any]
Answers = tuple[Float[np.ndarray, "pieces answers"], Float[np.ndarray, "pieces dim"]]
Members = str | int | Sequence[str | int] | None
Forward = Callable[..., tuple[Float[Array, "batch answers"], Float[Array, "batch dim"]]]


@dataclass(frozen=True)
class Ensemble:
    """The members of a fine-tuned run (one a split).

    Attributes:
      weights: `params`, `mean`, `std`, `temperature`, each with a leading axis of members.
      names: of the members: seeds or names of their splits.
      info: as the checkpoint has it: config, tasks, dataset.
      forward: the compiled network, see `create_forward`; takes NumPy's arrays.
    """

    weights: Weights
    names: tuple[str, ...]
    info: Mapping[str, Any]
    forward: Forward

    @cached_property
    def config(self) -> Config:
        """What the members were trained with."""
        return configuration.create(self.info["config"])

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of probabilities; none where attributes alone were learnt."""
        return tuple(c for t in main_tasks(self.info) if isinstance(t, Task) for c in t.classes)

    @property
    def attributes(self) -> dict[str, tuple[float, float]]:
        """The attributes that are predicted (arousal ...) and the ends of their scales."""
        found = (task for task in main_tasks(self.info) if isinstance(task, Attribute))
        return {task.name: (task.low, task.high) for task in found}

    @property
    def input_name(self) -> str:
        """What the network takes: `llds` or `waveform`."""
        return self.config.model.input_name

    def select(self, members: Members) -> "Ensemble":
        """Some of the members, by split name or number; None: all. Raises ValueError.

        A split that was trained from several seeds has as many members, which go together.
        """
        if members is None:
            return self
        wanted = [members] if isinstance(members, str | int) else list(members)
        splits = self.splits
        known = {str(number): name for number, name in enumerate(splits)}
        known |= {name: name for name in splits}
        unknown = [str(member) for member in wanted if str(member) not in known]
        if unknown or not wanted:
            raise ValueError(f"no member {', '.join(unknown)}: there are {', '.join(splits)}")
        chosen = [known[str(member)] for member in wanted]
        numbers = [n for split in chosen for n, m in enumerate(self.names) if split_of(m) == split]
        weights = jax.tree.map(lambda leaf: leaf[np.array(numbers)], self.weights)
        names = tuple(self.names[i] for i in numbers)
        info = {**self.info, "names": list(names)}
        if self.info.get("speakers"):  # older runs do not tell
            info["speakers"] = [self.info["speakers"][i] for i in numbers]
        return replace(self, weights=weights, names=names, info=info)

    @property
    def splits(self) -> tuple[str, ...]:
        """The members' splits, in order; one that was trained from several seeds has several."""
        return tuple(dict.fromkeys(split_of(name) for name in self.names))

    @property
    def scope(self) -> str:
        """Whose frames normalise LLDs (`config.data.normalise`); waveforms need nobody's."""
        return self.config.data.normalise if self.input_name == "llds" else "train"

    def features(
        self, waveform: Float[np.ndarray, " samples"], speaker: Normaliser | None = None
    ) -> Float[np.ndarray, "time *dim"]:
        """What `run` takes; safe in threads. Raises ValueError.

        `speaker` is of the speaker's clips, for the scope of that name; without it the sound is
        normalised by itself. With the scope `train` the network's members normalise, each its way.
        """
        return self.normalise(self.measure(waveform), speaker)

    def normalise(
        self, x: Float[np.ndarray, "time *dim"], speaker: Normaliser | None = None
    ) -> Float[np.ndarray, "time *dim"]:
        """What was measured of a sound, or read from a dataset, as `features` gives it."""
        if self.scope == "train":
            return x
        own = speaker if speaker is not None and self.scope == "speaker" else from_frames(x)
        return (x - own.mean) / own.std

    def measure(self, waveform: Float[np.ndarray, " samples"]) -> Float[np.ndarray, "time *dim"]:
        """LLDs, or samples, before any normalisation; safe in threads. Raises ValueError."""
        if not llds.num_frames(waveform.size):
            raise ValueError(f"too short: {waveform.size / SAMPLE_RATE:.3f} s of sound")
        if self.input_name == "waveform":
            # As datasets keep it (int16) and training reads it.
            return (np.round(np.clip(waveform, -1, 1) * 32767) / 32768).astype(np.float32)
        return llds.extract(waveform, self.pitch_window)

    @property
    def pitch_window(self) -> float:
        """Of LLDs, in s; see `features.llds`."""
        options = self.info["dataset"].get("options", {}) or {}
        return options.get("pitch_window", self.config.data.pitch_window)

    def notes(self, features: Float[np.ndarray, "time *dim"]) -> tuple[str, ...]:
        """What makes an answer to these features doubtful."""
        del features
        return ()

    def run(self, features: Sequence[Float[np.ndarray, "_ *dim"]]) -> Answers:
        """Answers and representations, batched by length, in the order given.

        Answers are each class's probability, then each attribute's value.
        """
        unit = _UNIT[self.input_name]
        sizes = np.array([_units(len(x) / unit) * unit for x in features])
        order = np.argsort(-sizes, kind="stable")
        found: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        while len(order):
            size = int(sizes[order[0]])
            rows = _rows(size // unit, len(order))
            chosen, order = order[:rows], order[rows:]
            inputs = np.zeros((rows, size, *features[0].shape[1:]), np.float32)
            for row, index in enumerate(chosen):
                inputs[row, : len(features[index])] = features[index]
            lengths = np.array([len(features[index]) for index in chosen], np.int32)
            lengths = np.pad(lengths, (0, rows - len(chosen)))
            p, z = jax.device_get(self.forward(self.weights, inputs, lengths))
            found |= {int(index): (p[row], z[row]) for row, index in enumerate(chosen)}
        pairs = [found[index] for index in range(len(features))]
        return np.stack([p for p, _ in pairs]), np.stack([z for _, z in pairs])


def split_of(member: str) -> str:
    """The split of a member, see `training.testing.member_names`."""
    return re.sub(r"#\d+$", "", member)


def _units(length: float) -> int:
    """Rounds a length up to 1, 2, 3, 4, 6, 8, 12, 16, ... units, as each takes 2 s to compile."""
    steps = (2**power * factor for power in itertools.count() for factor in (2, 3))
    return 1 if length <= 1 else next(units for units in steps if units >= length)


def _rows(units: int, available: int) -> int:
    """Size of a batch: 1 for a single input, else the largest allowed for its length.

    Batches are filled up to that size, so that few shapes are compiled.
    """
    return 1 if available == 1 else min(MAX_ROWS, max(_MAX_UNITS // units, 1))


def main_tasks(info: Mapping[str, Any]) -> list[AnyTask]:
    """What a checkpoint predicts, as its training reported it: no helpers."""
    named = info["config"].get("finetune", {}).get("tasks") or [EMOTION]
    order = sorted(named, key=lambda name: (name != EMOTION, name))
    return [tasks.create(name, info["tasks"][name]) for name in order]


def create_forward(info: Mapping[str, Any]) -> Forward:
    """The network as a function `(weights, inputs, lengths) -> (answers, representation)`.

    Inputs are what `Ensemble.features` gives, zero beyond `lengths`. Both results are means over
    members. Answers are each class's probability, calibrated (softmax(logits / temperature)), then
    each attribute's value in the corpus's scale.
    """
    config = configuration.create(info["config"])
    learnt = main_tasks(info)
    network = create_network(config.model, learnt, config.dtype)
    clip = config.data.normaliser_clip

    def member(weights: Weights, inputs: Num[Array, "..."], lengths: Int[Array, " batch"]):
        x = inputs
        if config.model.input_name == "llds":
            x = (x - weights["mean"]) / weights["std"]
            x = jnp.clip(x, -clip, clip) if clip else x
            x = jnp.where(jnp.arange(x.shape[1])[:, None] < lengths[:, None, None], x, 0.0)
        logits, state = network.apply(
            {"params": weights["params"]}, x, lengths, None,
            capture_intermediates=lambda _, method: method == "represent",
            mutable=["intermediates"],
        )  # fmt: skip
        z = state["intermediates"]["represent"][0]
        answers = [
            task.probabilities(logits[task.name] / weights["temperature"])
            if isinstance(task, Task)
            else task.values(logits[task.name])[:, None]
            for task in learnt
        ]
        return answers[0] if len(answers) == 1 else jnp.concatenate(answers, axis=1), z

    def forward(weights: Weights, inputs: Num[Array, "..."], lengths: Int[Array, " batch"]):
        def one(weights: Weights):
            return member(weights, inputs, lengths)

        # On a CPU one member's products stay in cache: two thirds of the time of all at once.
        on_cpu = jax.default_backend() == "cpu"
        each = jax.lax.map(one, weights) if on_cpu else jax.vmap(one)(weights)
        return jax.tree.map(lambda leaf: leaf.mean(axis=0), each)

    return forward


def create_ensemble(weights: Weights, names: Sequence[str], info: Mapping[str, Any]) -> Ensemble:
    """Puts the weights on the devices; the network compiles at first use, once a shape."""
    options = None
    if jax.default_backend() == "cpu":  # by default independent products run at once, more slowly
        options = {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}
    compiled = jax.jit(create_forward(info), compiler_options=options)
    devices = jax.local_devices()[: math.gcd(jax.local_device_count(), MAX_ROWS)]
    mesh = jax.make_mesh((len(devices),), ("data",), (AxisType.Auto,), devices=devices)

    def forward(weights: Weights, inputs: Num[np.ndarray, "..."], lengths: Int[np.ndarray, " _"]):
        """Divides a batch over the devices; one that does not divide goes to the first device."""
        if len(inputs) % len(devices):
            weights = jax.tree.map(lambda leaf: leaf.addressable_data(0), weights)
            return compiled(weights, inputs, lengths)
        with jax.set_mesh(mesh):
            return compiled(weights, *sharding.put((inputs, lengths), mesh, "data"))

    return Ensemble(sharding.put(weights, mesh), tuple(names), info, forward)
