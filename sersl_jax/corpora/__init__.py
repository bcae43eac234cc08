"""Raw corpora: one small module each, with `clips(source) -> list[Clip]`.

A module for speech emotion recognition also has `CLASSES`, the names of its emotions in order
(or its clips' labels are the classes, sorted) and, where only a part has labels, `labelled_clips`.
`CONSENSUS = True` says that a label is what the raters in `votes` agreed on, not what was acted.
`SCALES` names the ends of the scale of each attribute that is a number; `scales(clips)` takes its
place where only the clips can tell.
A clip whose file is missing is yielded all the same: `prepare` writes it to the ledger.
"""

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

# `speaker_id` of a clip of which nobody knows who talks: this, then the recording's name.
UNKNOWN = "unknown:"
NUMBERS = ("arousal", "valence", "dominance")  # the attributes that are numbers


@dataclass(frozen=True)
class Clip:
    """A stretch of one media file in which one person talks.

    `start` and `end` are seconds in `media` (`end=None`: to its end); `face` is an OpenFace CSV
    of the whole media file. `labels["emotion"]` is a class name; `votes` holds, per modality that
    raters saw ("multimodal", "voice", "face"), one number per class in the corpus's class order.
    `attributes` is what else is known, as text: `sex`, `age`, `sentence`, ...; `arousal`, `valence`
    and `dominance`, the raters' mean in the corpus's own scale; `partition` (train, validation,
    test, ...) or `session`, where the corpus comes with them.
    `untracked` is why a face back-end gave no CSV, where it was asked and failed.
    """

    id: str
    speaker_id: str
    media: Path
    face: Path | None = None
    start: float = 0.0
    end: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    votes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)
    untracked: str = ""


def names() -> tuple[str, ...]:
    """The corpora that can be prepared, sorted: every public module of this package."""
    modules = (module.name for module in pkgutil.iter_modules(__path__))
    return tuple(sorted(name for name in modules if not name.startswith(("_", "synthetic_"))))


def scales(module: ModuleType, clips: Sequence[Clip] = ()) -> dict[str, tuple[float, float]]:
    """Ends of the scale of each attribute of a corpus that is a number."""
    measured = getattr(module, "scales", None)
    return measured(clips) if measured else getattr(module, "SCALES", {})


def get(name: str) -> ModuleType:
    """The module of a corpus; raises ValueError, naming the known ones, for any other name."""
    if name not in names():
        raise ValueError(f"no corpus is called {name!r}: the known ones are {', '.join(names())}")
    return importlib.import_module(f"{__name__}.{name}")
