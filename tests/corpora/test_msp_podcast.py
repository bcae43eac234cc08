import pytest

from sersl_jax.corpora import msp_podcast
from sersl_jax.datasets.preparation import dry_run, prepare
from sersl_jax.evaluation.protocol import LeakError, check, create_splits
from tests.corpora.media import speak, touch, write_text
from tests.datasets.examples import read_all

HEADER = "FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set"
ROWS = [
    "MSP-PODCAST_0001_0008.wav,N,2.2,4.0,2.6,30,Male,Test1",
    "MSP-PODCAST_0001_0019.wav,X,5.0,4.75,4.0,39,Female,Test1",
    "MSP-PODCAST_0002_0004.wav,H,5.2,6.0,4.2,7,Male,Train",
    "MSP-PODCAST_0002_0005.wav,S,2.0,2.5,3.0,Unknown,Unknown,Train",
    "MSP-PODCAST_0002_0006.wav,U,5.0,4.5,4.0,Unknown,Unknown,Train",
    "MSP-PODCAST_0003_0001_0002.wav,A,6.0,2.0,5.5,Unknown,Male,Train",
    "MSP-PODCAST_0004_0033.wav,C,4.0,3.0,4.0,99,Male,Development",
    "MSP-PODCAST_0005_0002.wav,D,4.0,3.0,4.0,Unknown,Unknown,Test2",
    "MSP-PODCAST_0005_0003.wav,F,4.0,3.0,4.0,30,Male,Test2",
    "MSP-PODCAST_0004_0034.wav,O,4.0,3.0,4.0,99,Male,Development",
]


def write(root, rows=ROWS, header=HEADER, name="labels_consensus.csv", sound=touch):
    write_text(root / "Labels" / name, "\n".join([header, *rows]) + "\n")
    for number, row in enumerate(rows):
        sound(root / "Audios" / row.split(",")[0], 150 + 20 * number)
    return root


def silent(path, _):
    touch(path)


@pytest.fixture
def root(tmp_path):
    return write(tmp_path / "MSP-PODCAST", sound=silent)


def test_a_row(root):
    clip = msp_podcast.clips(root)[0]
    assert (clip.id, clip.speaker_id) == ("MSP-PODCAST_0001_0008", "msp_podcast_30")
    assert clip.media == root / "Audios" / "MSP-PODCAST_0001_0008.wav"
    assert clip.labels == {"emotion": "neutral"}
    assert clip.attributes == {
        "sex": "male", "partition": "test", "arousal": "2.2", "valence": "4.0", "dominance": "2.6",
    }  # fmt: skip


def test_classes_partitions_and_clips_without_agreement(root):
    clips = msp_podcast.clips(root)
    emotions = [clip.labels.get("emotion") for clip in clips]
    assert emotions == [
        "neutral", None, "happiness", "sadness", "surprise", "anger", "contempt", "disgust",
        "fear", "other",
    ]  # fmt: skip
    assert {*emotions} - {None} == {*msp_podcast.CLASSES}
    assert [clip.attributes["partition"] for clip in clips] == [
        "test", "test", "train", "train", "train", "train", "validation", "test2", "test2",
        "validation",
    ]  # fmt: skip


def test_unknown_speakers_are_one_a_recording(root):
    clips = msp_podcast.clips(root)
    assert [clip.speaker_id for clip in clips if clip.speaker_id.startswith("unknown:")] == [
        "unknown:MSP-PODCAST_0002", "unknown:MSP-PODCAST_0002", "unknown:MSP-PODCAST_0003",
        "unknown:MSP-PODCAST_0005",
    ]  # fmt: skip
    assert "sex" not in clips[3].attributes


def test_an_older_spelling_and_a_table_without_partitions(tmp_path):
    assert len(msp_podcast.clips(write(tmp_path / "a", name="labels_concensus.csv", sound=silent)))
    old = write(
        tmp_path / "b", [ROWS[0].rpartition(",")[0]], HEADER.rpartition(",")[0], sound=silent
    )
    with pytest.raises(ValueError, match=r"labels_consensus.csv lacks the column Split_Set"):
        msp_podcast.clips(old)
    with pytest.raises(FileNotFoundError, match=r"Labels/labels_consensus.csv is missing"):
        msp_podcast.clips(tmp_path)


def table(root):
    import pandas as pd

    clips = msp_podcast.clips(root)
    rows = [{"clip": c.id, "speaker_id": c.speaker_id, **c.attributes} for c in clips]
    return pd.DataFrame(rows)


WORKERS = """FileName,Worker,EmoClass_Major,EmoClass_Second
MSP-PODCAST_0001_0008.wav,W1,Neutral,"Neutral,Concerned"
MSP-PODCAST_0001_0008.wav,W2,Other-determined,""
MSP-PODCAST_0001_0008.wav,W3,Neutral,Neutral
MSP-PODCAST_0001_0008.wav,W4,Bored,Neutral
MSP-PODCAST_0001_0019.wav,W1,Angry,Angry
"""
DETAIL = """FileName,EmoDetail
MSP-PODCAST_0001_0008.wav,"W1; Neutral; Neutral,Concerned; A:2.0; V:4.0; D:3.0;"
MSP-PODCAST_0001_0008.wav,"W2; Other(shrug); ; A:2.0; V:4.0; D:3.0;"
MSP-PODCAST_0001_0008.wav,"W3; Neutral; Neutral; A:2.0; V:4.0; D:3.0;"
MSP-PODCAST_0001_0019.wav,"W1; Angry; Angry; A:2.0; V:4.0; D:3.0;"
"""


@pytest.mark.parametrize("text", [WORKERS, DETAIL])
def test_votes_are_the_workers_classes(root, text):
    assert not any(clip.votes for clip in msp_podcast.clips(root))
    write_text(root / "Labels" / "labels_detailed.csv", text)
    one, other, unrated = msp_podcast.clips(root)[:3]
    assert dict(zip(msp_podcast.CLASSES, one.votes["voice"], strict=True)) == {
        **dict.fromkeys(msp_podcast.CLASSES, 0), "neutral": 2, "other": 1,
    }  # fmt: skip
    assert sum(other.votes["voice"]) == 1
    assert unrated.votes == {}
    write_text(root / "Labels" / "labels_detailed.csv", "FileName,Worker\na.wav,W1\n")
    with pytest.raises(ValueError, match=r"labels_detailed.csv lacks the columns FileName and Emo"):
        msp_podcast.clips(root)


def test_its_partitions_are_one_split_and_strangers_are_stamped(root):
    clips = table(root)
    (split,) = create_splits("corpus", [*clips["speaker_id"]], clips=clips)
    assert split.seed == "corpus"
    assert split.validation == ("msp_podcast_99",)
    # speaker 30 talks in Test2, too: named by the clip of Test1
    assert split.test == ("MSP-PODCAST_0001_0008", "msp_podcast_39")
    assert "msp_podcast_7" in split.train
    (said,) = check(split, [*clips["speaker_id"]], clips=[*clips["clip"]])
    assert said == (
        "split corpus: clips of unknown speakers (3 in train): they may talk on another side, too"
    )


def test_the_guard_sees_an_unknown_speaker_on_two_sides(root):
    clips = table(root)
    clips.loc[clips["clip"] == "MSP-PODCAST_0002_0006", "partition"] = "test"
    (split,) = create_splits("corpus", [*clips["speaker_id"]], clips=clips)
    with pytest.raises(LeakError, match="unknown:MSP-PODCAST_0002 in both train and test"):
        check(split, [*clips["speaker_id"]], clips=[*clips["clip"]])


def test_it_prepares_whole_with_the_clips_that_have_only_numbers(tmp_path):
    root = write(tmp_path / "MSP-PODCAST", sound=speak)
    (root / "Audios" / "MSP-PODCAST_0005_0002.wav").unlink()
    said = dry_run("speech/msp_podcast", root, tmp_path)
    assert "media: 1 missing, 0 unreadable" in said
    assert "missing: MSP-PODCAST_0005_0002\n" in said
    assert "partition: {'test': 2, 'test2': 2, 'train': 4, 'validation': 2}" in said
    builder = prepare("speech/msp_podcast", root, tmp_path / "data", workers=1)
    labels = {e["clip"].decode(): e["labels"]["emotion"] for e in read_all(builder)}
    assert len(labels) == 9
    assert labels["MSP-PODCAST_0001_0019"] == -1
    assert labels["MSP-PODCAST_0001_0008"] == msp_podcast.CLASSES.index("neutral")
