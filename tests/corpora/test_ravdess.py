import pytest

from sersl_jax.corpora import ravdess


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_fields_of_the_name(tmp_path):
    wav = touch(tmp_path / "Actor_12" / "03-01-06-01-02-01-12.wav")
    touch(tmp_path / "Actor_11" / "03-01-01-01-01-01-11.wav")
    touch(tmp_path / "Actor_11" / "03-01-03-02-01-02-11.wav")
    neutral, happy, clip = ravdess.clips(tmp_path)
    assert (clip.id, clip.speaker_id, clip.media) == ("01-06-01-02-01-12", "ravdess_12", wav)
    assert clip.labels == {"emotion": "fear"}
    assert clip.attributes == {"sex": "female", "intensity": "normal", "sentence": "02"}
    assert neutral.labels == {"emotion": "neutral"}
    assert happy.labels == {"emotion": "happiness"}
    assert happy.attributes["intensity"] == "strong"
    assert happy.attributes["sex"] == "male"


def test_every_class_has_its_number(tmp_path):
    for number in range(1, 9):
        touch(tmp_path / f"03-01-{number:02d}-01-01-01-01.wav")
    emotions = [clip.labels["emotion"] for clip in ravdess.clips(tmp_path)]
    assert emotions == [
        "neutral", "calm", "happiness", "sadness", "anger", "fear", "disgust", "surprise",
    ]  # fmt: skip
    assert sorted(emotions) == list(ravdess.CLASSES)


def test_one_clip_per_utterance_with_the_video_where_faces_count(tmp_path):
    wav = touch(tmp_path / "audio" / "03-01-05-01-01-01-01.wav")
    video = touch(tmp_path / "video" / "01-01-05-01-01-01-01.mp4")
    touch(tmp_path / "video" / "02-01-05-01-01-01-01.mp4")
    (clip,) = ravdess.clips(tmp_path)
    assert (clip.media, clip.face) == (video, None)
    (clip,) = ravdess.labelled_clips(tmp_path)
    assert clip.media == wav
    face = touch(tmp_path / "FacialTracking_Actors_01-24" / "01-01-05-01-01-01-01.csv")
    (clip,) = ravdess.clips(tmp_path)
    assert (clip.media, clip.face) == (video, face)
    (clip,) = ravdess.clips(tmp_path, face_backend="mediapipe")
    assert clip.face is None


def test_songs_and_silent_videos_are_left_out(tmp_path):
    touch(tmp_path / "03-02-05-01-01-01-01.wav")
    touch(tmp_path / "02-01-05-01-01-01-01.mp4")
    touch(tmp_path / "notes.wav")
    with pytest.raises(FileNotFoundError, match="no RAVDESS speech"):
        ravdess.clips(tmp_path)
