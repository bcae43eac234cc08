"""OpenFace itself is not needed: the tests make a program that behaves like it."""

import stat
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sersl_jax.features import openface
from tests.features.test_audio import tone, write_video
from tests.features.test_openface import make_track

WRITES = 'cp "$(dirname "$0")/table.csv" "$4/$(basename "$2" .mp4).csv"'


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Makes a FeatureExtraction that runs a line of shell, and a 3 s video to give it."""

    def make(line: str, frames: int = 75):
        program = tmp_path / "bin" / "FeatureExtraction"
        program.parent.mkdir(exist_ok=True)
        openface.write(program.parent / "table.csv", make_track(frames, rate=25.0))
        program.write_text(f"#!/bin/sh\n{line}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("OPENFACE_BIN", str(program))
        return tmp_path / "clip.mp4"

    write_video(tmp_path / "clip.mp4", "aac", 16_000, tone(16_000))
    return make


def test_gives_the_csv_and_nothing_else(fake, tmp_path):
    csv = openface.run(fake(WRITES), tmp_path / "openface")
    assert csv == tmp_path / "openface" / "clip.csv"
    assert openface.read(csv).success.size == 75
    assert list(csv.parent.iterdir()) == [csv]


def test_asks_for_landmarks_and_action_units_of_the_whole_video(fake, tmp_path):
    openface.run(fake(f'echo "$@" > "{tmp_path}/asked"; {WRITES}'), tmp_path / "out")
    asked = (tmp_path / "asked").read_text().split()
    assert (asked[0], asked[2]) == ("-f", "-out_dir")
    assert asked[4:] == ["-2Dfp", "-aus", "-pose"]


def test_the_program_is_found_by_argument_folder_or_path(fake, tmp_path, monkeypatch):
    video, program = fake(WRITES), tmp_path / "bin" / "FeatureExtraction"
    monkeypatch.setenv("OPENFACE_BIN", str(program.parent))
    openface.run(video, tmp_path / "by_folder")
    monkeypatch.delenv("OPENFACE_BIN")
    openface.run(video, tmp_path / "by_argument", program)
    with pytest.raises(openface.FaceError, match="OPENFACE_BIN"):
        openface.run(video, tmp_path / "nowhere")
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    openface.run(video, tmp_path / "by_path")


def test_odd_names_and_many_at_a_time(fake, tmp_path):
    plain = fake(WRITES)
    names = ["two words", 'it\'s "q"', "ünïcode", "new\nline", "-f", "a:b"]
    videos = [tmp_path / f"{name}.mp4" for name in names]
    for video in videos:
        video.write_bytes(plain.read_bytes())
    with ThreadPoolExecutor(3) as pool:
        csvs = list(pool.map(lambda video: openface.run(video, tmp_path / "out"), videos))
    assert [csv.stem for csv in csvs] == names
    assert sorted((tmp_path / "out").iterdir()) == sorted(csvs)


@pytest.mark.parametrize(
    ("line", "frames", "message"),
    [
        ("exit 0", 75, "wrote no CSV"),  # what OpenFace does with a video it cannot read
        ("echo no model >&2; exit 1", 75, r"exit code 1 \(no model\)"),
        ("kill -9 $$", 75, "exit code -9"),
        (WRITES, 40, r"stopped after 1\.6 s of 3\.0 s"),
        (WRITES + '; : > "$4/face.csv"', 75, "not an OpenFace CSV"),
    ],
)
def test_failures_have_a_reason_and_leave_nothing(fake, tmp_path, line, frames, message):
    with pytest.raises(openface.FaceError, match=message):
        openface.run(fake(line, frames), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_the_time_limit_ends_the_program_and_its_children(fake, tmp_path):
    video = fake(f'(sleep 2; touch "{tmp_path}/late") & sleep 60')
    start = time.monotonic()
    with pytest.raises(openface.FaceError, match="more than 0 s"):
        openface.run(video, tmp_path / "out", time_limit=0.3)
    assert time.monotonic() - start < 5
    time.sleep(2.5)
    assert not (tmp_path / "late").exists()


@pytest.mark.parametrize(
    ("content", "message"), [(b"<html>gone</html>" * 99, "not readable"), (None, "no video stream")]
)
def test_files_without_a_video_never_reach_openface(fake, tmp_path, content, message):
    fake(f'touch "{tmp_path}/called"')
    bad = tmp_path / "bad.mp4"
    if content is None:
        import soundfile

        soundfile.write(bad, np.zeros(16_000), 16_000, format="WAV")
    else:
        bad.write_bytes(content)
    with pytest.raises(openface.FaceError, match=message):
        openface.run(bad, tmp_path / "out")
    assert not (tmp_path / "called").exists()
