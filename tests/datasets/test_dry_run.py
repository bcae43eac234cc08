"""A made-up tree in the format of MSP-Face's own lists, at its full size."""

import re
import time

import numpy as np
import pytest
import soundfile

from sersl_jax.datasets.preparation import dry_run

SEGMENTS = 27_325


@pytest.fixture(scope="module")
def msp_face(tmp_path_factory):
    """Lists only: segments of 9 s, a tenth below 2 s; in whole milliseconds, for exact sums."""
    root = tmp_path_factory.mktemp("msp")
    (root / "Doc").mkdir()
    rng = np.random.default_rng(0)
    starts = rng.integers(0, 600_000, SEGMENTS)
    lengths = np.where(rng.random(SEGMENTS) < 0.1, 1_500, rng.integers(2_000, 17_000, SEGMENTS))
    names = [f"MSP-FACE_{i // 20:04d}_{i % 20:04d}.mp4" for i in range(SEGMENTS)]
    (root / "Doc" / "segments_data.txt").write_text(
        "\n".join(
            f"{start / 1000} {(start + length) / 1000} {name}"
            for start, length, name in zip(starts, lengths, names, strict=True)
        )
    )
    speakers = "\n".join(f"{name},Speaker_{i // 60}" for i, name in enumerate(names))
    (root / "Doc" / "speaker_id_segments.txt").write_text(speakers)
    (root / "Doc" / "speaker_id_gender.txt").write_text("Speaker_0,Female")
    return root, lengths


def test_windows_are_right_to_the_unit_in_seconds(msp_face, tmp_path):
    root, lengths = msp_face
    start = time.monotonic()
    said = dry_run("pretext/msp_face", root, tmp_path)
    assert time.monotonic() - start < 30
    windows = int(np.sum(np.maximum((lengths - 2_000) // 1_500 + 1, 0)))
    assert f" {windows} examples" in said
    assert f"{SEGMENTS} clips of 456 speakers; media: {SEGMENTS} missing" in said
    assert f"{lengths.sum() / 3.6e6:.2f} h" in said


def test_lengths_come_from_headers_where_the_corpus_gives_none(tmp_path):
    (tmp_path / "media").mkdir()
    for name, rate in (("a", 16_000), ("b", 44_100)):
        soundfile.write(tmp_path / "media" / f"{name}.wav", np.zeros(5 * rate), rate)
    (tmp_path / "media" / "c.mp4").write_text("no video")
    (tmp_path / "labels.csv").write_text("clip,label\na,fear\nb,fear\nlost,anger\n")
    said = dry_run("pretext/folder", tmp_path, tmp_path)
    assert "4 clips of 4 speakers; media: 1 missing, 1 unreadable" in said
    assert re.search(r"0.00 h, 6 examples", said)
    assert "emotion: {'anger': 1, 'fear': 2, 'unknown': 1}" in said
