import numpy as np
import pytest

from sersl_jax.corpora import crema_d
from sersl_jax.datasets import identity
from sersl_jax.evaluation import label_rule

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


COUNTS = """"","A","D","F","H","N","S","fileName","numResponses","emoVote"
"100001",0,1,0,2,7,0,"1001_IEO_HAP_LO",10,"N"
"200001",0,0,0,9,0,1,"1001_IEO_HAP_LO",10,"H"
"300001",1,0,0,6,3,0,"1001_IEO_HAP_LO",10,"H"
"300002",0,4,1,4,0,0,"1002_TIE_DIS_XX",9,"D:H"
"100002",0,0,0,0,0,0,"1002_TIE_DIS_XX",0,""
"""


def test_counts_of_votes_are_taken_where_the_release_has_them(source):
    without = identity.fingerprint(crema_d.clips(source))
    table = source / "processedResults" / "tabulatedVotes.csv"
    table.write_text(COUNTS)
    happy, tie = crema_d.clips(source)
    assert happy.votes == {
        "multimodal": (1, 0, 0, 6, 3, 0), "voice": (0, 1, 0, 2, 7, 0), "face": (0, 0, 0, 9, 0, 1),
    }  # fmt: skip
    assert tie.votes["multimodal"] == (0, 4, 1, 4, 0, 0)
    assert tie.votes["voice"] == (0, 1, 0, 0, 0, 0)  # nobody counted: the winner
    assert identity.fingerprint([happy, tie]) != without
    table.unlink()
    assert identity.fingerprint(crema_d.clips(source)) == without


def test_counts_and_winners_give_the_same_label(source):
    names = [clip.id for clip in crema_d.clips(source)]

    def labels():
        rated = np.array([clip.votes["multimodal"] for clip in crema_d.clips(source)], float)
        return [label_rule.apply(rated, names, seed=seed).tolist() for seed in range(20)]

    of_winners = labels()
    (source / "processedResults" / "tabulatedVotes.csv").write_text(COUNTS)
    assert labels() == of_winners
    assert len({tie for _, tie in of_winners}) == 2


def test_another_table_of_votes_is_refused(source):
    (source / "processedResults" / "tabulatedVotes.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"tabulatedVotes.csv lacks the columns A, D, .* fileName"):
        crema_d.clips(source)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "processedResults/summaryTable.csv",
            "version https://git-lfs\n",
            "lacks the columns File",
        ),
        ("VideoDemographics.csv", PEOPLE.replace("1002", "1003"), "1002_TIE_DIS_XX is no clip of"),
        ("processedResults/summaryTable.csv", SUMMARY.replace("_HAP_", "_JOY_"), "1001_IEO_JOY_LO"),
    ],
)
def test_other_tables_are_refused(source, name, text, said):
    (source / name).write_text(text)
    with pytest.raises(ValueError, match=said):
        crema_d.clips(source)


def test_a_clip_that_nobody_rated_has_no_votes(source):
    table = source / "processedResults" / "summaryTable.csv"
    table.write_text(SUMMARY.replace('"N","H","H"', '"","H","H"'))
    assert crema_d.clips(source)[0].votes["voice"] == (0,) * 6


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
