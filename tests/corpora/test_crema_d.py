import numpy as np
import pytest

from sersl_jax.corpora import crema_d

SUMMARY = """"","FileName","VoiceVote","FaceVote","MultiModalVote","MultiModalLevel"
"1","1002_TIE_DIS_XX","D","D","D:H","64.75:50.25"
"2","1001_IEO_HAP_LO","N","H","H","57.38"
"""
PEOPLE = """"ActorID","Age","Sex","Race","Ethnicity"
1001,51,"Male","Caucasian","Not Hispanic"
1002,21,"Female","Asian","Not Hispanic"
"""


@pytest.fixture
def source(tmp_path):
    (tmp_path / "AudioWAV").mkdir()
    (tmp_path / "processedResults").mkdir()
    (tmp_path / "processedResults" / "summaryTable.csv").write_text(SUMMARY)
    (tmp_path / "VideoDemographics.csv").write_text(PEOPLE)
    return tmp_path


def test_names_votes_and_people_are_read(source):
    happy, tie = crema_d.clips(source)
    assert (happy.id, happy.speaker_id) == ("1001_IEO_HAP_LO", "1001")
    assert happy.media == source / "AudioWAV" / "1001_IEO_HAP_LO.wav"
    assert happy.labels == {"emotion": "happiness"}
    assert happy.votes["multimodal"] == (0, 0, 0, 1, 0, 0)
    assert happy.votes["voice"] == (0, 0, 0, 0, 1, 0)
    assert happy.attributes["sex"] == "male"
    assert (happy.attributes["intensity"], tie.attributes["intensity"]) == ("low", "unspecified")
    assert tie.votes["multimodal"] == (0, 1, 0, 1, 0, 0)


def test_opus_copies_are_taken_too(source):
    (source / "AudioWAV").rename(source / "AudioOpus")
    assert crema_d.clips(source)[0].media.name == "1001_IEO_HAP_LO.opus"


@pytest.mark.parametrize("name", ["AudioWAV", "VideoDemographics.csv", "processedResults"])
def test_a_missing_part_is_named(source, name):
    (source / name).rename(source / "elsewhere")
    with pytest.raises(FileNotFoundError, match=name):
        crema_d.clips(source)


def test_the_whole_corpus_has_the_papers_counts(shared_data):
    clips = crema_d.clips(shared_data / "crema_d")
    votes = np.array([clip.votes["multimodal"] for clip in clips])
    unique = votes.sum(axis=1) == 1
    counts = dict(zip(crema_d.CLASSES, votes[unique].sum(axis=0).tolist(), strict=True))
    assert len(clips) == 7442
    assert len({clip.speaker_id for clip in clips}) == 91
    assert (~unique).sum() == 420
    assert counts == {
        "anger": 1019, "disgust": 1139, "fear": 1084, "happiness": 1219, "neutral": 1972,
        "sadness": 589,
    }  # fmt: skip


def test_the_crowd_that_only_heard_agrees_as_published(shared_data):
    """Voice plurality scored on the multimodal label: 55.7 accuracy, ties at random."""
    clips = crema_d.clips(shared_data / "crema_d")
    seen, heard = (
        np.array([clip.votes[kind] for clip in clips]) for kind in ("multimodal", "voice")
    )
    rng = np.random.default_rng(0)
    hits = [
        (seen * rng.random(seen.shape)).argmax(1) == (heard * rng.random(seen.shape)).argmax(1)
        for _ in range(20)
    ]
    assert np.mean(hits) == pytest.approx(0.557, abs=0.002)
