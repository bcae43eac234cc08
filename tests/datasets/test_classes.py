import pytest

from sersl_jax.corpora import Clip
from sersl_jax.datasets import classes, options

KNOWN = ("anger", "excited", "happiness", "sadness")


def clip(tmp_path, emotion, votes=None):
    labels = {"emotion": emotion} if emotion else {}
    return Clip("a", "b", tmp_path, labels=labels, votes={"voice": votes} if votes else {})


def test_emotions_are_taken_renamed_or_left_out(tmp_path):
    clips = [clip(tmp_path, emotion) for emotion in (*KNOWN, None)]
    chosen = classes.select(clips, KNOWN, ("happiness+excited", "anger"))
    assert [c.labels["emotion"] for c in chosen] == ["anger", "happiness", "happiness"]


def test_votes_of_merged_emotions_are_added(tmp_path):
    chosen = classes.select([clip(tmp_path, "anger", (1, 2, 4, 8))], KNOWN, ("happiness+excited",))
    assert chosen == []
    chosen = classes.select(
        [clip(tmp_path, "anger", (1, 2, 4, 8))], KNOWN, ("happiness+excited", "anger")
    )
    assert chosen[0].votes == {"voice": (6, 1)}


def test_mistakes_are_named(tmp_path):
    with pytest.raises(ValueError, match="--classes names joy: the corpus has anger, excited"):
        classes.select([], KNOWN, ("joy", "anger"))
    for twice in (("anger", "sadness+anger"), ("anger", "anger"), ("anger+",), ()):
        with pytest.raises(ValueError, match="should name each emotion once"):
            classes.parse(twice)
    with pytest.raises(ValueError, match="--classes is no option of a pretext dataset"):
        options.create(options.PretextOptions, classes=["anger"])


def test_measurements_are_shared_by_all_choices_of_classes():
    some = options.SpeechOptions(classes=("anger",))
    assert some.measured() == options.SpeechOptions().measured()
    assert some.stamp() != options.SpeechOptions().stamp()
