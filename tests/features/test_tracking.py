import threading
import time

import pytest

from sersl_jax.features import openface, tracking
from tests.features.test_openface import make_track


@pytest.fixture
def backend(monkeypatch):
    """A tracker that fails on videos called "bad"; keeps what it was asked and how many at once."""
    seen, running, most, lock = [], [], [0], threading.Barrier(2, timeout=10)

    def run(video, out_dir):
        seen.append(video.name)
        running.append(video)
        most[0] = max(most[0], len(running))
        if video.stem.startswith("pair"):
            lock.wait()
        running.remove(video)
        if video.stem.startswith("bad"):
            raise openface.FaceError(f"{video}: no face")
        if video.stem.startswith("odd"):
            raise RuntimeError("timestamps must increase")
        out_dir.mkdir(exist_ok=True)
        openface.write(out_dir / f"{video.stem}.csv", make_track(3))

    monkeypatch.setitem(tracking.BACKENDS, "fake", run)
    return seen, most


def test_goes_on_after_a_bad_video_and_does_nothing_twice(backend, tmp_path):
    names, out = ("a", "bad", "c", "odd"), tmp_path / "out"
    videos = [tmp_path / f"{name}.mp4" for name in names]
    reasons = "", f"{videos[1]}: no face", "", "RuntimeError: timestamps must increase"
    results = dict(tracking.track_all(videos, out, "fake"))
    assert results == dict(zip(videos, reasons, strict=True))
    assert dict(tracking.track_all(videos, out, "fake")) == results
    assert sorted(backend[0]) == [f"{n}.mp4" for n in ("a", "bad", "bad", "c", "odd", "odd")]


def test_works_at_several_at_a_time(backend, tmp_path):
    videos = [tmp_path / f"pair{i}.mp4" for i in range(4)]
    assert len(list(tracking.track_all(videos, tmp_path / "out", "fake", workers=2))) == 4
    assert backend[1] == [2]


def test_an_interruption_ends_openface_and_leaves_nothing(tmp_path, monkeypatch):
    openface.write(tmp_path / "made.csv", make_track(30))
    program = tmp_path / "FeatureExtraction"
    program.write_text(
        f'#!/bin/sh\ncase "$(readlink "$2")" in *slow*) sleep 60;; esac\n'
        f'cp "{tmp_path}/made.csv" "${{2%.*}}.csv"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("OPENFACE_BIN", str(program))
    monkeypatch.setattr(openface, "_length", lambda _: 1.0)
    videos, out = [tmp_path / "quick.mp4", tmp_path / "slow.mp4"], tmp_path / "out"
    tracked = tracking.track_all(videos, out, workers=2)
    assert next(tracked) == (videos[0], "")
    started = time.monotonic()
    tracked.close()  # as an exception in the loop over it does
    assert time.monotonic() - started < 10
    assert [path.name for path in out.iterdir()] == ["quick.csv"]


def test_two_videos_of_one_stem_are_not_mixed_up(backend, tmp_path):
    videos = [tmp_path / "a.mp4", tmp_path / "a.avi", tmp_path / "b.mp4"]
    results = dict(tracking.track_all(videos, tmp_path / "out", "fake"))
    assert "another video has the stem a" in results[videos[0]]
    assert "another video has the stem a" in results[videos[1]]
    assert backend[0] == ["b.mp4"]


def test_the_backend_is_checked(tmp_path):
    with pytest.raises(ValueError, match="unknown face backend 'dlib'"):
        list(tracking.track_all([tmp_path / "a.mp4"], tmp_path, "dlib"))
