import pytest

from sersl_jax.corpora import enterface05
from sersl_jax.datasets.preparation import dry_run, prepare
from tests.corpora.media import film, touch
from tests.datasets.examples import read_all


def write(root, subjects, media=touch):
    """With the release's slips: names of 11, "3avi", "s_3", an uncut subject 6, 23 with 27."""
    for subject in subjects:
        for emotion in enterface05.CLASSES:
            folder, code = root / f"subject {subject}" / emotion, emotion[:2]
            if subject == 6:
                media(folder / f"s6_{code}.avi")
                continue
            for number in range(1, 6):
                if subject == 23 and emotion == "fear" and number > 2:
                    continue
                said = {11: "s12", 3: "s_3"}.get(subject, f"s{subject}")
                slip = "avi" if (subject, code, number) == (16, "su", 3) else ""
                media(folder / f"sentence {number}" / f"{said}_{code}_{number}{slip}.avi")
    touch(root / "subject 1" / "anger" / "sentence 1" / "Thumbs.db")
    return root


def test_the_release(tmp_path):
    clips = enterface05.clips(write(tmp_path, range(1, 45)))
    assert len(clips) == len({clip.id for clip in clips}) == 42 * 30 + 27
    speakers = {clip.speaker_id for clip in clips}
    assert len(speakers) == 43
    assert "enterface05_06" not in speakers
    assert sum(clip.speaker_id == "enterface05_23" for clip in clips) == 27


def test_folders_and_not_names_say_who_talks(tmp_path):
    clips = {clip.id: clip for clip in enterface05.clips(write(tmp_path, (3, 11, 12, 16)))}
    assert len(clips) == 120
    clip = clips["s11_an_1"]
    assert (clip.speaker_id, clip.media.name) == ("enterface05_11", "s12_an_1.avi")
    assert clips["s12_an_1"].media.parent.parent.parent.name == "subject 12"
    assert clips["s16_su_3"].media.name == "s16_su_3avi.avi"
    assert clips["s03_ha_2"].labels == {"emotion": "happiness"}
    assert clips["s03_ha_2"].attributes == {"sentence": "ha_2"}


def test_other_ways_to_write_the_folders(tmp_path):
    avi = touch(tmp_path / "Subject-7" / "Anger" / "Sentence-2" / "s7_an_2.avi")
    flat = touch(tmp_path / "subject_23" / "fear" / "s23_fe_4.avi")
    clips = enterface05.clips(tmp_path)
    assert [(clip.id, clip.media) for clip in clips] == [("s07_an_2", avi), ("s23_fe_4", flat)]


def test_folders_without_subjects_are_refused(tmp_path):
    touch(tmp_path / "anger" / "s1_an_1.avi")
    with pytest.raises(FileNotFoundError, match="no eNTERFACE'05 utterance"):
        enterface05.clips(tmp_path)


def test_faces_are_not_tracked_where_nobody_would_find_them(tmp_path):
    with pytest.raises(ValueError, match="--track_faces: the corpus enterface05 is read without"):
        prepare("pretext/enterface05", write(tmp_path, (1,)), tmp_path, track_faces=True)


def test_it_prepares_from_avi(tmp_path):
    pitches = iter(range(100, 1_600, 20))
    root = write(tmp_path / "db", (1,), lambda path: film(path, "pcm_s16le", next(pitches)))
    assert "30 clips of 1 speakers; media: 0 missing, 0 unr" in dry_run(
        "speech/enterface05", root, tmp_path
    )
    builder = prepare("speech/enterface05", root, tmp_path / "data", workers=1, limit=4)
    assert len(read_all(builder)) == 4
