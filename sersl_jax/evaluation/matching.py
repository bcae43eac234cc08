"""A model's classes against those of a corpus that it was not trained on: matched by name."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Matched:
    """Which classes are tested, and what may be predicted.

    Attributes:
      names: the corpus's classes -> the names that they are tested under.
      classes: tested, in the corpus's order: the rows of confusions.
      answers: the classes, then what else the model may say: the columns of confusions.
      only_there: tested names that the model does not know.
      only_here: the model's classes that the corpus lacks.
      only_shared: whether both of these are left out; else they count as errors.
    """

    names: Mapping[str, str]
    classes: tuple[str, ...]
    answers: tuple[str, ...]
    only_there: tuple[str, ...]
    only_here: tuple[str, ...]
    only_shared: bool

    def restrict(
        self, p: Float[np.ndarray, "*batch outputs"], ours: Sequence[str]
    ) -> tuple[Float[np.ndarray, "*batch known"], tuple[str, ...]]:
        """Probabilities of the model's classes that may be predicted, and their names.

        Scaling the rest to 1 is the softmax over their logits alone.
        """
        kept = [k for k, name in enumerate(ours) if name in self.answers]
        chosen = p[..., kept]
        total = np.maximum(chosen.sum(axis=-1, keepdims=True), np.finfo(p.dtype).tiny)
        return chosen / total, tuple(ours[k] for k in kept)

    def describe(self, dataset: str) -> list[str]:
        """A sentence for each kind of class that only one side knows."""
        there = "left out" if self.only_shared else "every clip of them counts as an error"
        here = "left out" if self.only_shared else "an error wherever it is predicted"
        said = [f"only {dataset} has {', '.join(self.only_there)}: {there}"] * bool(self.only_there)
        return said + [f"only the model has {', '.join(self.only_here)}: {here}"] * bool(
            self.only_here
        )

    def stamp(self) -> dict[str, Any]:
        """As `results.json` holds it; `map` has the classes whose name is another one here."""
        return {
            "map": {one: other for one, other in self.names.items() if one != other},
            "only_shared": self.only_shared,
            "classes": list(self.classes),
            "answers": list(self.answers),
            "only_there": list(self.only_there),
            "only_here": list(self.only_here),
        }


# Of a model that is tested on attributes alone.
NOTHING = Matched({}, (), (), (), (), False)


def match(
    theirs: Sequence[str],
    ours: Sequence[str],
    renamed: Mapping[str, str],
    only_shared: bool,
    occurring: Collection[str],
) -> Matched:
    """Matches classes by name.

    Args:
        theirs: the corpus's classes.
        ours: the model's.
        renamed: {theirs: ours} for classes that have other names.
        only_shared: leave out what only one side knows, instead of counting it as an error.
        occurring: those of `theirs` that have clips; the others can't be tested.

    Raises:
        ValueError: `renamed` names a class that is not there, or nothing is shared.
    """
    _check_names("theirs", renamed, theirs)
    _check_names("ours", renamed.values(), ours)
    names = {name: renamed.get(name, name) for name in theirs if name in occurring}
    tested = tuple(dict.fromkeys(names.values()))
    shared = tuple(name for name in tested if name in ours)
    needed = 2 if only_shared else 1
    if len(shared) < needed:
        raise ValueError(
            f"{'no class' if not shared else 'only ' + shared[0]} is shared: the corpus has "
            f"{', '.join(names)}, the model knows {', '.join(ours)}; --map=theirs=ours matches "
            "classes of other names"
        )
    only_here = tuple(name for name in ours if name not in tested)
    only_there = tuple(name for name in tested if name not in ours)
    if only_shared:
        names = {one: other for one, other in names.items() if other in shared}
        return Matched(names, shared, shared, only_there, only_here, True)
    return Matched(names, tested, tested + only_here, only_there, only_here, False)


def parse(entries: Sequence[str]) -> dict[str, str]:
    """["calm=neutral", "excited=happiness"] -> {"calm": "neutral", ...}; raises ValueError."""
    pairs = [entry.partition("=") for entry in entries]
    wrong = [
        entry for entry, (one, _, other) in zip(entries, pairs, strict=True) if not one or not other
    ]
    if wrong or len({one for one, _, _ in pairs}) < len(pairs):
        raise ValueError(
            f"--map={','.join(entries)} should name each class once, as theirs=ours: "
            "--map=calm=neutral,excited=happiness"
        )
    return {one: other for one, _, other in pairs}


def _check_names(side: str, named: Iterable[str], known: Sequence[str]) -> None:
    strange = [name for name in named if name not in known]
    if strange:
        whose = "the corpus has" if side == "theirs" else "the model knows"
        raise ValueError(
            f"--map (theirs=ours) names {', '.join(strange)} as {side}: {whose} {', '.join(known)}"
        )
