"""What the labels of several corpora have in common."""

import math

# One letter per emotion in the corpora of the MSP laboratory; X is "raters did not agree".
MSP_EMOTIONS = {
    "A": "anger",
    "C": "contempt",
    "D": "disgust",
    "F": "fear",
    "H": "happiness",
    "N": "neutral",
    "O": "other",
    "S": "sadness",
    "U": "surprise",
}
_SIDES = {
    "development": "validation",
    "devel": "validation",
    "dev": "validation",
    "val": "validation",
    "test1": "test",
}


def emotion(name: str | None) -> dict[str, str]:
    """`Clip.labels` of an emotion; empty where there is none."""
    return {"emotion": name} if name else {}


def numbers(**values: str) -> dict[str, str]:
    """Those of `values` that are finite numbers, as they are written."""
    return {name: value for name, value in values.items() if is_number(value)}


def partition(name: str) -> str:
    """A corpus's own name of a partition as train, validation, test, or in small letters."""
    name = name.strip().lower()
    return _SIDES.get(name, name)


def sex(word: str) -> dict[str, str]:
    """`{"sex": "male" or "female"}` of "Male", "f", ...; empty where it is unknown."""
    names = {"m": "male", "f": "female"}
    return {"sex": names[word[0].lower()]} if word[:1].lower() in names else {}


def is_number(text: str) -> bool:
    """Whether a text is a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
