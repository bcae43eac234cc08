import pytest

from sersl_jax.corpora import tess


def make(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_fields_of_the_name(tmp_path):
    root = make(tmp_path, "OAF_angry/OAF_back_angry.wav", "YAF_ps/YAF_bean_ps.wav", "readme.txt")
    older, younger = tess.clips(root)
    assert (older.id, older.speaker_id) == ("OAF_back_angry", "tess_OAF")
    assert older.media == tmp_path / "OAF_angry" / "OAF_back_angry.wav"
    assert older.labels == {"emotion": "anger"}
    assert older.attributes == {"sex": "female", "age": "older", "sentence": "back"}
    assert (younger.speaker_id, younger.labels) == ("tess_YAF", {"emotion": "surprise"})


def test_every_class_has_its_word(tmp_path):
    words = ("angry", "disgust", "fear", "happy", "neutral", "sad", "ps")
    clips = tess.clips(make(tmp_path, *(f"OAF_back_{word}.wav" for word in words)))
    assert {clip.labels["emotion"] for clip in clips} == {*tess.CLASSES}


def test_odd_names_and_a_copy_of_the_whole(tmp_path):
    names = ("OA_bite_neutral.wav", "OAF_FEAR/OAF_dog_FEAR.wav", "copy/OAF_FEAR/OAF_dog_FEAR.wav")
    clips = tess.clips(make(tmp_path, *names))
    assert [clip.id for clip in clips] == ["OAF_dog_FEAR", "OA_bite_neutral"]
    assert {clip.speaker_id for clip in clips} == {"tess_OAF"}


def test_nothing_of_the_kind_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no TESS recording"):
        tess.clips(make(tmp_path, "OAF_back_bored.wav"))
