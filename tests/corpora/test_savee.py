import pytest

from sersl_jax.corpora import savee
from sersl_jax.evaluation.protocol import create_splits
from tests.corpora.media import touch

COUNTS = {"a": 15, "d": 15, "f": 15, "h": 15, "n": 30, "sa": 15, "su": 15}
NAMES = [f"{letters}{i:02d}" for letters, count in COUNTS.items() for i in range(1, count + 1)]
SPEAKERS = ("DC", "JE", "JK", "KL")


def test_the_released_folders(tmp_path):
    for speaker in SPEAKERS:
        for name in NAMES:
            touch(tmp_path / "AudioData" / speaker / f"{name}.wav")
    touch(tmp_path / "AudioData" / "Info.txt")
    clips = savee.clips(tmp_path)
    assert len(clips) == len({clip.id for clip in clips}) == 480
    first = clips[0]
    assert (first.id, first.speaker_id) == ("DC_a01", "savee_DC")
    assert first.media == tmp_path / "AudioData" / "DC" / "a01.wav"
    assert first.attributes == {"sex": "male", "sentence": "a01"}
    emotions = [clip.labels["emotion"] for clip in clips]
    assert {name: emotions.count(name) for name in savee.CLASSES} == {
        **dict.fromkeys(savee.CLASSES, 60),
        "neutral": 120,
    }


def test_sadness_and_surprise_are_told_apart(tmp_path):
    for name in ("sa05", "su05", "a05"):
        touch(tmp_path / "JK" / f"{name}.wav")
    emotions = {clip.id: clip.labels["emotion"] for clip in savee.clips(tmp_path)}
    assert emotions == {"JK_a05": "anger", "JK_sa05": "sadness", "JK_su05": "surprise"}


def test_copies_in_one_folder_are_the_same_clips(tmp_path):
    wav = touch(tmp_path / "AudioData" / "DC" / "n01.wav")
    touch(tmp_path / "ALL" / "DC_n01.wav")
    touch(tmp_path / "ALL" / "KL_n02.wav")
    touch(tmp_path / "AudioVisualClip" / "DC" / "n1.avi")
    touch(tmp_path / "ALL" / "KL_n02_noisy.wav")
    clips = savee.clips(tmp_path)
    assert [clip.id for clip in clips] == ["DC_n01", "KL_n02"]
    assert clips[0].media in (wav, tmp_path / "ALL" / "DC_n01.wav")


def test_other_folders_and_a_protocol_that_it_does_not_have(tmp_path):
    touch(tmp_path / "XX" / "a01.wav")
    with pytest.raises(FileNotFoundError, match="no SAVEE utterance"):
        savee.clips(tmp_path)
    with pytest.raises(ValueError, match="neither partitions nor sessions; take"):
        create_splits("corpus", ["savee_DC", "savee_JE"])
