import pytest

from sersl_jax.datasets.options import PretextOptions, SpeechOptions
from sersl_jax.datasets.source import read_clips
from sersl_jax.features import tracking


@pytest.mark.parametrize("corpus", ["crema_d", "emodb", "tess"])
def test_a_face_back_end_for_a_corpus_without_faces_is_refused(corpus, tmp_path):
    options = PretextOptions(face_backend="mediapipe")
    with pytest.raises(
        ValueError, match=f"--face_backend=mediapipe: the corpus {corpus} has no vid"
    ):
        read_clips("pretext", corpus, tmp_path, tmp_path, options)


@pytest.mark.parametrize("backend", ["openface", "mediapipe"])
def test_videos_without_tracked_faces_name_the_flag_that_helps(backend, tmp_path, capsys):
    (tmp_path / "media").mkdir()
    for name in ("one.mp4", "two.mp4", "three.wav"):
        (tmp_path / "media" / name).touch()
    (tmp_path / backend).mkdir()
    (tmp_path / backend / "one.csv").touch()
    assert len(read_clips("pretext", "folder", tmp_path, tmp_path, _options(backend))) == 3
    said = capsys.readouterr().err
    assert said == (
        "1 video without a CSV of the tracked face: no face labels; --track_faces tracks them "
        "first\n"
    )
    (tmp_path / backend / "two.csv").touch()
    read_clips("pretext", "folder", tmp_path, tmp_path, _options(backend))
    read_clips("speech", "folder", tmp_path, tmp_path, SpeechOptions())
    assert not capsys.readouterr().err


def _options(backend):
    return PretextOptions(face_backend=backend)


def test_a_track_that_could_not_be_told_apart_is_not_made(tmp_path, monkeypatch):
    for name in ("media/a/x.mp4", "media/b/x.wav", "media/c/y.mp4"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    tracked = []
    monkeypatch.setitem(tracking.BACKENDS, "openface", lambda video, _: tracked.append(video.name))
    clips = read_clips(
        "pretext", "folder", tmp_path, tmp_path / "data", PretextOptions(), tracking=1
    )
    assert tracked == ["y.mp4"]
    assert [clip.untracked.endswith("another recording has its name") for clip in clips] == [
        True, False, False,
    ]  # fmt: skip
