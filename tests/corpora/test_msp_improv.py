import pytest

from sersl_jax.corpora import msp_improv
from sersl_jax.evaluation.protocol import check, create_splits
from tests.corpora.media import touch, write_text


def turn(name, emotion, numbers="A:2.600000; V:4.200000; D:3.200000 ; N:3.600000;"):
    """A turn as the release has it: the raters' verdict, then each rater's."""
    return (
        f"UTD-IMPROV-{name}.avi; {emotion}; {numbers}\n"
        "Rater7-p2; Happy; Excited, Happy; A:2; V:5; D:3; N:4;\n"
        "Rater9-p1; Other (tired); Depressed; A:4; V:3; D:3; N:3;\n\n"
    )


def write(root, name="Evalution.txt", audio="Audio/"):
    text = ""
    for pair in range(1, 7):
        for who, letter, scene in (("F", "A", "P"), ("M", "H", "S"), ("F", "N", "R")):
            clip = f"S01{letter}-{who}{pair:02d}-{scene}-FM0{pair}"
            text += turn(clip, letter)
            folder = root / f"{audio}session{pair}" / f"S01{letter}" / scene
            touch(folder / f"MSP-IMPROV-{clip}.wav")
    return write_text(root / name, text).parent


def test_a_turn(tmp_path):
    clip = msp_improv.clips(write(tmp_path))[0]
    assert (clip.id, clip.speaker_id) == ("MSP-IMPROV-S01A-F01-P-FM01", "msp_improv_F01")
    assert clip.media == (
        tmp_path / "Audio" / "session1" / "S01A" / "P" / "MSP-IMPROV-S01A-F01-P-FM01.wav"
    )
    assert clip.labels == {"emotion": "anger"}
    assert clip.attributes == {
        "sex": "female", "session": "1", "scene": "natural", "sentence": "S01A",
        "arousal": "2.600000", "valence": "4.200000", "dominance": "3.200000",
    }  # fmt: skip


def test_twelve_speakers_in_six_sessions_and_no_rater_taken_for_a_turn(tmp_path):
    clips = msp_improv.clips(write(tmp_path, "Evaluation.txt", audio=""))
    assert len(clips) == 18
    assert len({clip.speaker_id for clip in clips}) == 12
    assert all(clip.media.is_file() for clip in clips)
    assert {clip.attributes["scene"] for clip in clips} == {"natural", "improvised", "read"}


def test_no_agreement_numbers_that_are_none_and_sound_that_is_not_there(tmp_path):
    text = turn("S02S-M03-T-MM04", "X", "A:3.0; V:3.0; D:NaN ; N:NaN;") + turn(
        "S02S-M03-S-MM05", "O"
    )
    write_text(tmp_path / "Evalution.txt", text)
    other, unknown = msp_improv.clips(tmp_path)
    assert (other.labels, unknown.labels) == ({"emotion": "other"}, {})
    assert unknown.attributes["scene"] == "target"
    assert "dominance" not in unknown.attributes
    assert unknown.media == (
        tmp_path / "session3" / "S02S" / "T" / "MSP-IMPROV-S02S-M03-T-MM04.wav"
    )


def test_labels_that_are_missing_or_hold_nothing_are_one_line(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Evalution.txt is missing"):
        msp_improv.clips(tmp_path)
    write_text(tmp_path / "Evalution.txt", "nothing\n")
    with pytest.raises(ValueError, match=r"Evalution.txt holds no line like"):
        msp_improv.clips(tmp_path)


def test_sessions_are_the_protocol(tmp_path):
    import pandas as pd

    clips = msp_improv.clips(write(tmp_path))
    table = pd.DataFrame([{"clip": c.id, **c.attributes} for c in clips])
    speakers = [clip.speaker_id for clip in clips]
    splits = create_splits("corpus", speakers, clips=table)
    assert [split.test[0][-3:] for split in splits] == ["F01", "F02", "F03", "F04", "F05", "F06"]
    assert all(check(split, speakers, clips=[*table["clip"]]) == [] for split in splits)
