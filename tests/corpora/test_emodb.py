import pytest

from sersl_jax.corpora import emodb


def make(root, *names):
    (root / "wav").mkdir()
    for name in names:
        (root / "wav" / name).touch()
    return root


def test_fields_of_the_name(tmp_path):
    man, woman = emodb.clips(make(tmp_path, "16b10Lb.wav", "03a01Wa.wav"))
    assert (man.id, man.speaker_id) == ("03a01Wa", "emodb_03")
    assert man.media == tmp_path / "wav" / "03a01Wa.wav"
    assert man.labels == {"emotion": "anger"}
    assert man.attributes == {"sex": "male", "sentence": "a01"}
    assert (woman.speaker_id, woman.attributes["sex"]) == ("emodb_16", "female")
    assert woman.labels == {"emotion": "boredom"}


def test_every_letter_has_its_class(tmp_path):
    names = [f"08a0{i}{letter}a.wav" for i, letter in enumerate("AEFLNTW")]
    emotions = [clip.labels["emotion"] for clip in emodb.clips(make(tmp_path, *names))]
    assert emotions == [
        "fear", "disgust", "happiness", "boredom", "neutral", "sadness", "anger",
    ]  # fmt: skip
    assert sorted(emotions) == list(emodb.CLASSES)


def test_other_files_are_no_utterances(tmp_path):
    with pytest.raises(FileNotFoundError, match="no EMO-DB utterance"):
        emodb.clips(make(tmp_path, "readme.txt", "3a01Wa.wav", "03a01Xa.wav"))
    with pytest.raises(FileNotFoundError, match="no folder"):
        emodb.clips(tmp_path / "nowhere")
