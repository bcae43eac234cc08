from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from sersl_jax.features import openface
from sersl_jax.pretext import action_units, landmarks


def make_track(frames: int = 60, rate: float = 30.0, seed: int = 0) -> openface.FaceTrack:
    rng = np.random.default_rng(seed)
    return openface.FaceTrack(
        timestamps=np.round(np.arange(frames) / rate, 3),
        success=np.ones(frames, bool),
        confidence=np.full(frames, 0.98),
        landmarks=np.round(rng.uniform(0, 500, (frames, 68, 2)), 1),
        action_units=rng.integers(0, 2, (frames, 18)).astype(float),
    )


def assert_equal(one: openface.FaceTrack, other: openface.FaceTrack) -> None:
    for name in one.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), name)


@pytest.fixture
def csv(tmp_path):
    """A written track's table, and a function that reads a changed table back."""
    path = tmp_path / "clip.csv"
    openface.write(path, make_track())

    def read_changed(change, **options) -> openface.FaceTrack:
        table = change(pd.read_csv(path))
        table.to_csv(path, index=False, **options)
        return openface.read(path)

    return read_changed


def test_writes_what_it_reads_in_openfaces_176_columns(tmp_path):
    track = make_track()
    openface.write(tmp_path / "a b.csv", track)
    assert_equal(openface.read(tmp_path / "a b.csv"), track)
    header, first = (tmp_path / "a b.csv").read_text().splitlines()[:2]
    assert header.startswith("frame,face_id,timestamp,confidence,success,x_0,x_1,")
    assert ",x_67,y_0," in header
    assert header.endswith(",AU26_c,AU28_c,AU45_c")
    assert len(header.split(",")) == len(first.split(",")) == 176
    assert first.startswith("1,0,0.000,0.98,1,")
    assert list(tmp_path.iterdir()) == [tmp_path / "a b.csv"]


def test_pose_is_read_where_it_is_there(tmp_path):
    pose = np.round(np.random.default_rng(1).normal(size=(60, 6)), 3)
    track = replace(make_track(), pose=pose)
    openface.write(tmp_path / "a.csv", track)
    assert_equal(openface.read(tmp_path / "a.csv"), track)
    table = pd.read_csv(tmp_path / "a.csv")
    assert [*table.columns[4:8]] == ["success", "pose_Tx", "pose_Ty", "pose_Tz"]
    np.testing.assert_array_equal(table["pose_Ry"], pose[:, 4])
    table.drop(columns="pose_Rz").to_csv(tmp_path / "b.csv", index=False)
    assert_equal(openface.read(tmp_path / "b.csv"), make_track())


def test_a_window_holds_the_pose_of_its_frames():
    pose = np.arange(360.0).reshape(60, 6)
    window = replace(make_track(), pose=pose).window(1.0, 3.0)
    np.testing.assert_array_equal(window.pose[:30], pose[30:])
    assert window.pose.shape == (60, 6)
    assert not window.success[30:].any()


def test_au_names_are_openfaces_18():
    units = "01 02 04 05 06 07 09 10 12 14 15 17 20 23 25 26 28 45"
    assert tuple(f"AU{unit}" for unit in units.split()) == openface.AU_NAMES


def test_spaces_around_names_and_values(csv, tmp_path):
    csv(lambda table: table.rename(columns=lambda name: f" {name}"))
    path = tmp_path / "clip.csv"
    path.write_text("\n".join(line.replace(",", ", ") for line in path.read_text().splitlines()))
    assert_equal(openface.read(path), make_track())


def test_version_1_has_no_face_id(csv):
    assert_equal(csv(lambda table: table.drop(columns="face_id")), make_track())


def test_columns_of_other_flags_are_not_mixed_up(csv):
    def add(table):
        more = {"pose_Rx": 9.0, "p_rx": 9.0, "eye_lmk_x_0": 9.0, "X_0": 9.0, "AU01_c_smooth": 9.0}
        return pd.concat([pd.DataFrame(more, index=table.index), table], axis=1)

    assert_equal(csv(add), make_track())


def test_of_several_faces_the_one_with_most_tracked_frames_is_followed(csv):
    def add(table):
        other = table.assign(face_id=7, x_0=-1.0, confidence=1.0)
        other.loc[:20, "success"] = 0
        brief = table[:10].assign(face_id=3, x_0=-2.0)
        return pd.concat([other, brief, table]).sort_values("frame", kind="stable")

    assert_equal(csv(add), make_track())


def test_two_rows_of_one_frame_give_the_tracked_one(csv):
    def add(table):
        return pd.concat([table, table.assign(success=0, x_0=-1.0, confidence=0.1)])

    assert_equal(csv(add), make_track())


def test_failed_rows_keep_their_stale_values_but_do_not_count(csv):
    def fail(table):
        table.loc[table.index >= 40, ["success", "confidence"]] = (0, 0.3)
        for name in table.columns[5:]:
            table.loc[table.index >= 40, name] = table.loc[39, name]
        return table

    track = csv(fail)
    assert track.success.tolist() == [True] * 40 + [False] * 20
    assert np.array_equal(track.landmarks[59], track.landmarks[39])
    for region in landmarks.REGIONS:
        assert landmarks.movement(track.landmarks, track.success, region) == landmarks.movement(
            make_track().landmarks[:40], np.ones(40, bool), region
        )


@pytest.mark.parametrize("junk", ["-nan(ind)", "nan", "-nan", "inf", "1.#QNAN", "junk", ""])
@pytest.mark.parametrize("column", ["x_5", "AU12_c", "confidence", "success"])
def test_values_that_are_no_numbers_make_a_failed_frame(csv, junk, column):
    def spoil(table):
        table[column] = table[column].astype(object)
        table.loc[7, column] = junk
        return table

    track = csv(spoil)
    assert np.flatnonzero(~track.success).tolist() == [7]
    for values in (track.confidence, track.landmarks, track.action_units):
        assert np.isfinite(values).all()
    assert set(np.unique(track.action_units)) <= {0.0, 1.0}


def test_frames_without_a_row_are_failed_frames(csv):
    track = csv(lambda table: table.drop(index=range(10, 20)))
    assert len(track.success) == 60
    assert np.flatnonzero(~track.success).tolist() == list(range(10, 20))
    np.testing.assert_allclose(track.timestamps, make_track().timestamps, atol=1e-3)


def test_a_last_line_cut_short_is_a_failed_frame(csv, tmp_path):
    path = tmp_path / "clip.csv"
    path.write_text(path.read_text()[:-300])
    assert np.flatnonzero(~openface.read(path).success).tolist() == [59]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns=[n for n in t if n.startswith("x_")]), "landmark.*-2Dfp"),
        (lambda t: t.drop(columns=[n for n in t if n.endswith("_c")]), "action unit.*-aus"),
        (lambda t: t.drop(columns="success"), "success"),
        (lambda t: t[:0], "no frames"),
        (lambda t: t.assign(frame=t["frame"] ** 6), "frame numbers jump"),
        (lambda t: t.assign(timestamp=0), "timestamps do not increase"),
    ],
)
def test_unusable_tables_are_named_with_the_remedy(csv, change, message):
    with pytest.raises(openface.FaceError, match=rf"clip\.csv.*{message}"):
        csv(change)


@pytest.mark.parametrize(
    "content", [b"", b"\n\n", b"<html><body>404</body></html>", b"\x00\xff\xfe\x01" * 99]
)
def test_files_that_are_no_such_table(tmp_path, content):
    (tmp_path / "bad.csv").write_bytes(content)
    with pytest.raises(openface.FaceError, match=r"bad\.csv"):
        openface.read(tmp_path / "bad.csv")


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no\.csv"):
        openface.read(tmp_path / "no.csv")


@pytest.mark.parametrize("rate", [24.0, 25.0, 29.97, 30.0, 60.0])
def test_windows_are_cut_by_time_whatever_the_rate(rate):
    track = make_track(frames=round(10 * rate), rate=rate)
    for start in (0.0, 1.5, 3.0, 4.5, 6.0, 7.5):
        window = track.window(start, start + 2.0)
        assert len(window.success) == pytest.approx(2 * rate, abs=1)
        assert window.success.all()
        assert window.timestamps[0] >= start
        assert window.timestamps[-1] < start + 2.0


def test_a_window_that_the_track_leaves_is_filled_with_failed_frames():
    track = make_track(frames=75)  # 2.5 s
    window = track.window(1.5, 3.5)
    assert window.success.tolist() == [True] * 30 + [False] * 30
    assert landmarks.movement(window.landmarks, window.success, "upper_face") > 0
    late = track.window(1.8, 3.8)
    assert np.isnan(landmarks.movement(late.landmarks, late.success, "upper_face"))
    assert np.isnan(action_units.proportions(late.action_units, late.success)).all()
    nothing = track.window(6.0, 8.0)
    assert len(nothing.success) == 60
    assert not nothing.success.any()


def test_a_track_that_starts_late_leaves_failed_frames_before(csv):
    track = csv(lambda table: table.drop(index=range(40)))
    window = track.window(0.0, 2.0)
    assert window.success.tolist() == [False] * 40 + [True] * 20


def test_real_tracks(shared_data):
    paths = sorted((shared_data / "talking_faces" / "openface").glob("*.csv"))
    tracks = [openface.read(path) for path in paths]
    assert [len(track.success) for track in tracks[:4]] == [542, 602, 902, 600]
    assert all(track.success.mean() > 0.9 for track in tracks)
