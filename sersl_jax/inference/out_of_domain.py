"""A second network, asked about recordings unlike those that the first was trained on.

Most of what a network learns of one corpus is of one room. Where a sound's mean descriptors lie far
from that corpus's clips, a network that sees only what carries over (configs/portable.py) answers.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from sersl_jax import checksums, files
from sersl_jax.datasets.dataset import Dataset
from sersl_jax.features.llds import NUM_LLDS
from sersl_jax.inference.ensemble import Answers, Ensemble, Members

FAR = "unlike the training recordings"
FOLDER = "out_of_domain"  # of the second network, in that of the first one's export
_GATE = "gate.safetensors"
_DIM = NUM_LLDS // 2  # without deltas
_KEPT = 0.99  # of the clips of speakers that were not fitted lie within the limit


Means = Float[np.ndarray | Array, "sounds dim"]


@dataclass(frozen=True)
class Gate:
    """A Gaussian of clips' mean descriptors, and the Mahalanobis distance that is far.

    Attributes:
      whitening: `(mean descriptors - mean) @ whitening` has unit covariance over the clips.
      limit: a distance.
    """

    mean: Float[np.ndarray, " dim"]
    whitening: Float[np.ndarray, "dim dim"]
    limit: Float[np.ndarray, ""]

    def distances(self, means: Means) -> Float[np.ndarray | Array, " sounds"]:
        """From the clips, of sounds of these mean descriptors."""
        return (((means - self.mean) @ self.whitening) ** 2).sum(axis=1) ** 0.5


@dataclass(frozen=True)
class Gated(Ensemble):
    """An ensemble that leaves sounds beyond the `gate` to `other`, which knows the same classes."""

    other: Ensemble
    gate: Gate

    def select(self, members: Members) -> Ensemble:
        """Some of the members, of both networks."""
        found = super().select(members)
        return replace(found, other=self.other.select(members))

    def is_far(self, features: Sequence[Float[np.ndarray, "frames llds"]]) -> Bool[np.ndarray, "_"]:
        """Whether each sound is beyond the gate."""
        means = [x[:, :_DIM].mean(axis=0) for x in features]
        return np.asarray(self.gate.distances(np.stack(means)) > self.gate.limit)

    def notes(self, features: Float[np.ndarray, "frames llds"]) -> tuple[str, ...]:
        """`FAR` where `other` answers."""
        return (FAR,) if self.is_far([features])[0] else ()

    def run(self, features: Sequence[Float[np.ndarray, "_ *dim"]]) -> Answers:
        """Answers by whichever network is asked; representations are always this one's."""
        answers, representations = super().run(features)
        far = self.is_far(features)
        if far.any():
            answers[far] = self.other.run([features[int(i)] for i in np.flatnonzero(far)])[0]
        return answers, representations


def create(ensemble: Ensemble, other: Ensemble, dataset: Dataset) -> Gated:
    """Both networks, with a gate of the first one's training data; raises ValueError as `join`."""
    _check(ensemble, other)
    return join(ensemble, other, fit(dataset, ensemble.info["speakers"]))


def join(ensemble: Ensemble, other: Ensemble, gate: Gate) -> Gated:
    """Raises ValueError where the two were not trained on the same splits and classes."""
    _check(ensemble, other)
    own = {name: getattr(ensemble, name) for name in ("weights", "names", "info", "forward")}
    return Gated(**own, other=other, gate=gate)


def _check(ensemble: Ensemble, other: Ensemble) -> None:
    alike = {
        "classes": (ensemble.labels, other.labels),
        "attributes": (ensemble.attributes, other.attributes),
        "splits": (ensemble.names, other.names),
        "dataset": (ensemble.info["dataset"]["name"], other.info["dataset"]["name"]),
        "speakers": (ensemble.info.get("speakers"), other.info.get("speakers")),
        "data.normalise": (ensemble.scope, other.scope),
        "pitch_window": (ensemble.pitch_window, other.pitch_window),
    }
    differing = [name for name, (one, two) in alike.items() if one != two]
    if differing:
        raise ValueError(f"the run for out-of-domain recordings differs in {', '.join(differing)}")
    if ensemble.input_name != "llds" or ensemble.scope != "train":
        raise ValueError(
            "a run for out-of-domain recordings goes with LLDs that the training set normalises "
            f"(this one: {ensemble.input_name}, data.normalise={ensemble.scope})"
        )


def fit(dataset: Dataset, sides: Sequence[Mapping[str, Sequence[str]]]) -> Gate:
    """The gate of a run's training data and each member's speakers (`train`, `validation`).

    The limit is the mean over members of that beyond which 1 % of their validation clips lie, by
    the Gaussian of their training clips; the Gaussian that is kept is of all these clips.
    """
    rows = (dataset.read(example)[:, :_DIM].mean(axis=0) for example in range(len(dataset.lengths)))
    means = np.stack([row.astype(np.float64) for row in rows])
    everyone = {name for side in sides for names in side.values() for name in names}

    def of(speakers: Iterable[str]) -> Float[np.ndarray, "clips dim"]:
        return means[np.isin(dataset.speaker_ids, [*speakers])]

    limits = [
        np.quantile(_gaussian(of(side["train"])).distances(of(side["validation"])), _KEPT)
        for side in sides
    ]
    return replace(_gaussian(of(everyone)), limit=np.array(np.mean(limits), np.float32))


def _gaussian(means: Float[np.ndarray, "clips dim"]) -> Gate:
    """Fitted to clips' mean descriptors; its limit is for `fit` to set."""
    mean, std = means.mean(axis=0), means.std(axis=0)
    std = np.where(std > 0, std, 1.0)
    covariance = np.cov((means - mean) / std, rowvar=False) + 1e-3 * np.eye(_DIM)
    whitening = np.linalg.cholesky(np.linalg.inv(covariance)) / std[:, None]
    kept = mean.astype(np.float32), whitening.astype(np.float32)
    return Gate(*kept, np.array(np.inf, np.float32))


def means(
    inputs: Float[Array, "batch time llds"], lengths: Int[Array, " batch"]
) -> Float[Array, "batch dim"]:
    """What a gate takes of every row."""
    inside = jnp.arange(inputs.shape[1])[:, None] < lengths[:, None, None]
    total = jnp.where(inside, inputs, 0.0).sum(axis=1)[:, :_DIM]
    return total / jnp.maximum(lengths, 1)[:, None]


def write_gate(gate: Gate, folder: Path) -> None:
    """Beside the second network's weights."""
    from safetensors.numpy import save

    content = save({name: np.asarray(value) for name, value in vars(gate).items()})
    files.write_atomically(folder / _GATE, lambda path: path.write_bytes(content))
    checksums.write(folder, [_GATE])


def read_gate(folder: Path) -> Gate:
    """What `write_gate` wrote; raises ValueError where it is damaged."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return Gate(**load_file(folder / _GATE))
    except (SafetensorError, TypeError) as error:
        raise ValueError(f"{folder / _GATE} is damaged, {error}: export the run again") from None
