import numpy as np
import pytest

from sersl_jax.features import face_mediapipe, openface
from sersl_jax.pretext import landmarks
from tests.features.test_audio import tone, write_video


@pytest.fixture
def mediapipe():
    """Skips where MediaPipe or its model is not installed."""
    pytest.importorskip("mediapipe", reason="needs the extra 'face'")
    try:
        face_mediapipe.find_model()
    except openface.FaceError as error:
        pytest.skip(str(error))


def test_every_one_of_the_68_points_has_its_own_of_the_478():
    assert len(set(face_mediapipe.POINTS)) == 68
    assert min(face_mediapipe.POINTS) >= 0
    assert max(face_mediapipe.POINTS) < 478


def test_action_units_are_openfaces():
    assert set(face_mediapipe.ACTION_UNITS) <= set(openface.AU_NAMES)


def test_an_action_unit_is_the_mean_of_both_sides_against_its_threshold():
    assert face_mediapipe._is_present({"mouthSmileLeft": 0.4, "mouthSmileRight": 0.6}, "AU12")
    assert not face_mediapipe._is_present({"mouthSmileLeft": 0.4, "mouthSmileRight": 0.5}, "AU12")
    assert face_mediapipe._is_present({"jawOpen": 0.5}, "AU26")
    assert not face_mediapipe._is_present({"jawOpen": 1.0}, "AU28")
    assert not face_mediapipe._is_present({}, "AU12")


def test_a_missing_model_is_named_with_the_remedy(tmp_path, monkeypatch):
    with pytest.raises(openface.FaceError, match=r"nothing\.task not found: set SERSL_FACE_MODEL"):
        face_mediapipe.find_model(tmp_path / "nothing.task")
    monkeypatch.setenv("SERSL_FACE_MODEL", str(tmp_path / "other.task"))
    with pytest.raises(openface.FaceError, match=r"other\.task"):
        face_mediapipe.find_model()


def test_a_wrong_model_is_refused(tmp_path):
    (tmp_path / "face_landmarker.task").write_bytes(b"something else")
    with pytest.raises(openface.FaceError, match="SHA-256 64184e22"):
        face_mediapipe.find_model(tmp_path / "face_landmarker.task")


def test_a_video_without_a_face_is_a_track_of_failed_frames(mediapipe, tmp_path):
    write_video(tmp_path / "grey.mp4", "aac", 16_000, tone(16_000))
    track = openface.read(face_mediapipe.run(tmp_path / "grey.mp4", tmp_path / "out"))
    assert track.success.tolist() == [False] * 75
    np.testing.assert_allclose(np.diff(track.timestamps), 1 / 25, atol=1e-6)
    assert list((tmp_path / "out").iterdir()) == [tmp_path / "out" / "grey.csv"]


def test_what_is_no_video_is_named(mediapipe, tmp_path):
    (tmp_path / "page.mp4").write_text("<html>gone</html>" * 99)
    with pytest.raises(openface.FaceError, match=r"page\.mp4: not readable"):
        face_mediapipe.run(tmp_path / "page.mp4", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_agrees_with_openface_on_a_real_face(mediapipe, shared_data):
    clip = shared_data / "talking_faces"
    ours = face_mediapipe.track(clip / "media" / "spk04_3.mp4")
    theirs = openface.read(clip / "openface" / "spk04_3.csv")
    assert ours.success.all()
    assert ours.landmarks.shape == theirs.landmarks.shape
    width = np.ptp(theirs.landmarks[0, :, 0])
    for region in landmarks.REGIONS:
        index = list(landmarks.REGIONS[region])
        centres = [track.landmarks[:, index].mean(axis=1) for track in (ours, theirs)]
        distance = np.linalg.norm(np.subtract(*centres), axis=1)
        assert np.median(distance) < 0.1 * width
