"""From raters' votes to one label a clip.

CREMA-D has an intended label and several voted ones (docs/choices.md). A rule says which is used;
results are stamped with it.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped

VOTES = ("multimodal", "voice", "face")  # the rows of an example's votes
ATTRIBUTES = "attributes"  # the stamp's source where no emotion is learnt
SOURCES = (*VOTES, "intended")
_CHOICES = {"source": SOURCES, "targets": ("plurality", "soft"), "ties": ("random", "drop")}


@dataclass(frozen=True)
class LabelRule:
    """Whose votes make the label, what is learnt from them, and how ties are broken."""

    source: str = "multimodal"
    targets: str = "plurality"
    ties: str = "random"
    seed: int = 0

    def __post_init__(self):
        """Refuses a misspelt choice."""
        for field, allowed in _CHOICES.items():
            if getattr(self, field) not in allowed:
                raise ValueError(
                    f"label rule: {field}={getattr(self, field)!r} is none of {', '.join(allowed)}"
                )

    def stamp(self) -> dict[str, str | int]:
        """The rule as `results.json` holds it."""
        return asdict(self)


def describe(stamp: Mapping[str, str | int]) -> str:
    """A stamp as a phrase for people."""
    stamp = dict(stamp)
    classes = stamp.pop("classes", "")
    return _describe(stamp) + (f", classes {classes}" if classes else "")


def _describe(stamp: Mapping[str, str | int]) -> str:
    if stamp.get("source") == "intended":
        return "label: the intended emotion"
    if stamp.get("source") == ATTRIBUTES:
        return f"label: the raters' {str(stamp['attributes']).replace(',', ', ')}"
    if stamp.get("source") == "corpus":
        return "label: the corpus's own"
    if set(stamp) != {"source", "targets", "ties", "seed"}:
        return "label: " + (", ".join(f"{k} {v}" for k, v in stamp.items()) or "as given")
    ties = f"broken at random (seed {stamp['seed']})" if stamp["ties"] == "random" else "dropped"
    soft = ", learnt from their shares" if stamp["targets"] == "soft" else ""
    return f"label: plurality of the {stamp['source']} votes{soft}, ties {ties}"


def apply(
    votes: Float[np.ndarray, "clips classes"],
    clips: Sequence[str],
    ties: str = "random",
    seed: int | str = 0,
) -> Int[np.ndarray, "clips"]:
    """The class with most votes; -1 without any vote, or for a tie with `ties="drop"`.

    A random tie is broken by a hash of (seed, clip id), so that neither the order nor the subset
    of clips changes a label.
    """
    winners = (votes == votes.max(axis=1, keepdims=True)) & (votes > 0)
    labels = [
        _pick(np.flatnonzero(row), f"{seed}/{clip}", ties)
        for row, clip in zip(winners, clips, strict=True)
    ]
    return np.array(labels, np.int64)


def create_labels(
    rule: LabelRule,
    votes: Shaped[np.ndarray, "clips 3 classes"],
    intended: Int[np.ndarray, "clips"],
    clips: Sequence[str],
) -> Int[np.ndarray, "clips"]:
    """The label of every clip under a rule; -1 where the rule gives none."""
    if rule.source == "intended":
        return np.asarray(intended, np.int64)
    return apply(_chosen(rule, votes), clips, rule.ties, rule.seed)


def has(votes: Shaped[np.ndarray, "clips 3 classes"] | None, kind: str) -> bool:
    """Whether any clip has votes of this kind."""
    return votes is not None and bool(votes[:, VOTES.index(kind)].any())


def soft_targets(
    rule: LabelRule, votes: Shaped[np.ndarray, "clips 3 classes"]
) -> Float[np.ndarray, "clips classes"]:
    """The share of votes each class got; rows without votes are zero."""
    chosen = _chosen(rule, votes)
    return chosen / np.maximum(chosen.sum(axis=1, keepdims=True), 1e-9)


def _chosen(rule: LabelRule, votes: np.ndarray) -> np.ndarray:
    if rule.source == "intended":
        raise ValueError("label rule: soft targets need votes; source=intended has none")
    chosen = np.asarray(votes[:, VOTES.index(rule.source)], np.float64)
    if not chosen.any():
        raise ValueError(
            f"label rule: this corpus has no {rule.source} votes; take source=intended"
        )
    return chosen


def _pick(candidates: np.ndarray, address: str, ties: str) -> int:
    if not candidates.size or (candidates.size > 1 and ties == "drop"):
        return -1
    digest = hashlib.sha256(address.encode()).digest()
    return int(candidates[int.from_bytes(digest[:8]) % candidates.size])
