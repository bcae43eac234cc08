"""eNTERFACE'05 (Martin et al., 2006): "subject 1/anger/sentence 1/s1_an_1.avi", video with sound.

Folders alone say what a file is: names have slips, and those of subject 11 are subject 12's.
"""

import re
from pathlib import Path

from sersl_jax.corpora import Clip, _files

CLASSES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise")
_PLACE = re.compile(
    rf"subject[ _-]?(\d+)/({'|'.join(CLASSES)})/(?:sentence[ _-]?(\d+)/)?", re.IGNORECASE
)
_UNCUT = 6  # subject 6 is six long files, one per emotion, that nobody cut into sentences


def clips(source: Path) -> list[Clip]:
    """The utterances below `source`, sorted; not those of subject 6.

    A subject may lack sentences: 23 has 27 of 30. Raises FileNotFoundError where there is no
    utterance.
    """
    found: dict[str, Clip] = {}
    for path in _files.find(Path(source), (".avi", ".wav")):
        match = _PLACE.search(path.relative_to(source).as_posix())
        if match and (match[3] or int(match[1]) != _UNCUT):
            clip = _clip(match, path)
            found.setdefault(clip.id, clip)
    if not found:
        raise FileNotFoundError(
            f"{source} holds no eNTERFACE'05 utterance (subject 1/anger/sentence 1/s1_an_1.avi)"
        )
    return [found[id_] for id_ in sorted(found)]


def _clip(place: re.Match, media: Path) -> Clip:
    subject, emotion, folder = place.groups()
    number = folder or "".join(re.findall(r"\d+", media.stem)[-1:])
    sentence = f"{emotion[:2].lower()}_{number}"
    return Clip(
        id=f"s{int(subject):02d}_{sentence}",
        speaker_id=f"enterface05_{int(subject):02d}",
        media=media,
        labels={"emotion": emotion.lower()},
        attributes={"sentence": sentence},
    )
