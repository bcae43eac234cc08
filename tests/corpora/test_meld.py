import pytest

from sersl_jax.corpora import meld
from sersl_jax.datasets import ledger
from sersl_jax.datasets.preparation import dry_run, prepare
from sersl_jax.evaluation.protocol import LeakError, check, create_splits
from tests.corpora.media import film, touch, write_text
from tests.datasets.examples import read_all

HEADER = (
    "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,"
    "StartTime,EndTime"
)
ROWS = {
    "train": [("Chandler", "neutral", 0, 0), ("Monica", "joy", 0, 1), ("Ross", "fear", 125, 3)],
    "dev": [("Phoebe", "sadness", 0, 0), ("Chandler", "surprise", 110, 7)],
    "test": [("Mark", "anger", 0, 0), ("Rachel", "disgust", 93, 6)],
}
FOLDERS = {
    "train": "train_splits",
    "dev": "dev_splits_complete",
    "test": "output_repeated_splits_test",
}


def write(root, media=touch, encoding="utf-8"):
    """With the release's faults: a broken file, a missing one, files beside, odd names."""
    for part, rows in ROWS.items():
        lines = [HEADER]
        for number, (speaker, emotion, dialogue, utterance) in enumerate(rows, start=1):
            said = '"Oh my God, he\u2019s lost it."' if encoding != "ascii" else "Oh"
            lines.append(
                f"{number},{said},{speaker},{emotion},negative,{dialogue},{utterance},4,7,"
                '"00:20:57,256","00:21:00,049"'
            )
            name = f"dia{dialogue}_utt{utterance}.mp4"
            if name == "dia125_utt3.mp4":
                write_text(root / FOLDERS[part] / name, "no moov atom")
            elif name == "dia93_utt6.mp4":
                media(root / FOLDERS[part] / f"final_videos_test{name}")
            elif name != "dia110_utt7.mp4":
                media(root / FOLDERS[part] / name)
        folder = root / "train" if part == "train" else root
        write_text(folder / f"{part}_sent_emo.csv", "\n".join(lines), encoding)
    touch(root / "dev_splits_complete" / "dia66_utt9.mp4")  # without a label
    touch(root / "train_splits" / "._dia0_utt0.mp4")
    touch(root / "output_repeated_splits_test" / "final_videos_testdia0_utt0.mp4")
    return root


def test_names_start_anew_in_each_partition(tmp_path):
    clips = {clip.id: clip for clip in meld.clips(write(tmp_path))}
    assert list(clips) == [
        "train_dia0_utt0", "train_dia0_utt1", "train_dia125_utt3", "dev_dia0_utt0",
        "dev_dia110_utt7", "test_dia0_utt0", "test_dia93_utt6",
    ]  # fmt: skip
    assert [clips[f"{part}_dia0_utt0"].media for part in FOLDERS] == [
        tmp_path / folder / "dia0_utt0.mp4" for folder in FOLDERS.values()
    ]
    clip = clips["train_dia0_utt1"]
    assert (clip.speaker_id, clip.labels) == ("meld_Monica", {"emotion": "happiness"})
    assert clip.attributes == {"partition": "train", "sentiment": "negative"}
    assert clips["dev_dia110_utt7"].attributes["partition"] == "validation"


def test_missing_and_oddly_named_media(tmp_path):
    clips = {clip.id: clip for clip in meld.clips(write(tmp_path))}
    assert clips["test_dia93_utt6"].media.name == "final_videos_testdia93_utt6.mp4"
    assert clips["dev_dia110_utt7"].media == tmp_path / "dev_splits_complete" / "dia110_utt7.mp4"


def test_sound_cut_out_of_the_videos_comes_first(tmp_path):
    write(tmp_path)
    wav = touch(tmp_path / "audio" / "test" / "dia0_utt0.wav")
    assert next(c.media for c in meld.clips(tmp_path) if c.id == "test_dia0_utt0") == wav


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_tables_in_any_encoding(tmp_path, encoding):
    assert len(meld.clips(write(tmp_path, encoding=encoding))) == 7


def test_a_table_that_is_missing_or_lacks_a_column_is_one_line(tmp_path):
    write(tmp_path)
    write_text(tmp_path / "test_sent_emo.csv", "Speaker,Emotion\nRoss,joy\n")
    with pytest.raises(ValueError, match=r"test_sent_emo.csv lacks the column Sentiment, Dia"):
        meld.clips(tmp_path)
    (tmp_path / "dev_sent_emo.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"dev_sent_emo.csv is missing: --source is"):
        meld.clips(tmp_path)


def test_its_partitions_leak_and_run_only_where_that_is_allowed(tmp_path):
    import pandas as pd

    clips = meld.clips(write(tmp_path))
    table = pd.DataFrame([{"clip": c.id, **c.attributes} for c in clips])
    speakers = [clip.speaker_id for clip in clips]
    (split,) = create_splits("corpus", speakers, clips=table)
    assert "train_dia0_utt0" in split.train  # Chandler talks on two sides: named by clips
    with pytest.raises(LeakError, match="meld_Chandler in both train and validation"):
        check(split, speakers, clips=[*table["clip"]])
    allowed = check(split, speakers, clips=[*table["clip"]], allow_speaker_overlap=True)
    assert allowed == ["split corpus: speaker meld_Chandler in both train and validation"]


def test_it_prepares_from_mp4_and_lists_the_broken_files(tmp_path):
    pitches = iter(range(200, 900, 40))
    root = write(tmp_path / "MELD.Raw", lambda path: film(path, "aac", next(pitches)))
    assert "media: 1 missing, 1 unreadable" in dry_run("speech/meld", root, tmp_path)
    builder = prepare("speech/meld", root, tmp_path / "data", workers=1)
    assert len(read_all(builder)) == 5
    lost = {line.clip: line.stage for line in ledger.read(builder.data_path / ledger.NAME)}
    assert lost == {"train_dia125_utt3": "audio", "dev_dia110_utt7": "corpus"}
