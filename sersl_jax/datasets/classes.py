"""Which of a corpus's emotions are learnt, and which count as one: --classes=anger,sadness+fear."""

import dataclasses
from collections.abc import Sequence

from sersl_jax.corpora import Clip

Groups = dict[str, tuple[str, ...]]  # class -> the corpus's emotions that it takes in


def parse(classes: Sequence[str]) -> Groups:
    """("anger", "happiness+excited") -> {"anger": ("anger",), "happiness": ("happiness", ...)}.

    Raises ValueError for an emotion that is named twice, and for none.
    """
    groups = {part.split("+")[0]: tuple(part.split("+")) for part in classes}
    named = [emotion for part in classes for emotion in part.split("+")]
    if len(set(named)) < len(named) or not all(named) or not named:
        raise ValueError(f"--classes={','.join(classes)} should name each emotion once")
    return groups


def select(clips: Sequence[Clip], known: Sequence[str], classes: Sequence[str]) -> list[Clip]:
    """The clips of these classes, under the name of the first emotion of each group.

    Votes are added up. Raises ValueError for an emotion that is not one of `known`.
    """
    groups = parse(classes)
    strange = {emotion for group in groups.values() for emotion in group} - {*known}
    if strange:
        raise ValueError(
            f"--classes names {', '.join(sorted(strange))}: the corpus has {', '.join(known)}"
        )
    names = {emotion: name for name, group in groups.items() for emotion in group}
    places = [[known.index(emotion) for emotion in group] for group in groups.values()]
    return [
        dataclasses.replace(
            clip,
            labels={"emotion": names[clip.labels["emotion"]]},
            votes={
                kind: tuple(sum(votes[place] for place in group) for group in places)
                for kind, votes in clip.votes.items()
            },
        )
        for clip in clips
        if clip.labels.get("emotion") in names
    ]
