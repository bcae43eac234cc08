"""What is said of a sound: the network's answers to its pieces, with labels and notes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from sersl_jax.inference import windows
from sersl_jax.inference.ensemble import Ensemble
from sersl_jax.inference.windows import Piece

ALONE = "normalised by itself"


@dataclass(frozen=True)
class Prediction:
    """What the network says of a sound, or of a window of it.

    Attributes:
      label: the most probable class; empty where attributes alone were learnt.
      probabilities: of every class, calibrated on validation clips; they sum to 1.
      start, end: in s.
      embedding: the representation before the head, averaged over members.
      notes: what makes it doubtful: `silent`, `clipped`, `very short`, or `ALONE`: the run
        normalises a speaker's clips together, and this sound was normalised by itself; or
        `out_of_domain.FAR`: the recording is unlike the training's, and another network answers.
      attributes: arousal and the like, in the training corpus's scale, where they were learnt.
    """

    label: str
    probabilities: dict[str, float]
    start: float
    end: float
    embedding: Float[np.ndarray, " dim"]
    notes: tuple[str, ...] = ()
    attributes: dict[str, float] = field(default_factory=dict)

    @property
    def confidence(self) -> float:
        """Probability of the label; 0 without one."""
        return self.probabilities.get(self.label, 0.0)


def answer(
    ensemble: Ensemble, chunk: Sequence[tuple[int, Piece | Exception, np.ndarray | None]]
) -> Iterator[tuple[int, Prediction | Exception]]:
    """Predictions of a chunk of pieces, in order; where reading a piece failed, its error."""
    features = [x for _, _, x in chunk if x is not None]
    labels, attributes = ensemble.labels, [*ensemble.attributes]
    answers = iter(zip(*ensemble.run(features), strict=True)) if features else iter(())
    for number, piece, x in chunk:
        if isinstance(piece, Exception):
            yield number, piece
            continue
        p, z = next(answers)
        named = dict(zip((*labels, *attributes), map(float, p), strict=True))
        shares = {name: named.pop(name) for name in labels}
        label = labels[int(p[: len(labels)].argmax())] if labels else ""
        found = (*windows.notes(piece.waveform), *(() if x is None else ensemble.notes(x)))
        yield number, Prediction(label, shares, piece.start, piece.end, z, found, named)


def merge(found: Sequence[Prediction]) -> Prediction:
    """The mean over windows of equal length; a note must hold for all of them."""
    if len(found) == 1:
        return found[0]
    p = _mean([f.probabilities for f in found])
    values = _mean([f.attributes for f in found])
    notes = tuple(note for note in found[0].notes if all(note in f.notes for f in found))
    embedding = np.mean([f.embedding for f in found], axis=0)
    label = max(p, key=p.__getitem__) if p else ""
    return Prediction(label, p, 0.0, found[-1].end, embedding, notes, values)


def _mean(found: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([one[name] for one in found])) for name in found[0]}
