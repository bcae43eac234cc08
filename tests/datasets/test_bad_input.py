"""Every kind of broken input at once: none stops the run, each has its reason in the ledger."""

import re
import shutil

import av
import numpy as np
import pandas as pd
import pytest
import soundfile

from sersl_jax.datasets import ledger
from sersl_jax.datasets.preparation import prepare
from sersl_jax.features import audio
from tests.datasets.examples import read_all

GOOD = "GOOD"  # kept, and not in the ledger
REASONS = {
    # sound
    "good": GOOD,
    "zero_bytes": r"audio: zero_bytes.wav: empty file",
    "html": r"audio: html.mp4: not readable as sound or video",
    "text": r"audio: text.wav: not readable",
    "truncated": r"audio: truncated.wav: truncated",
    "no_sound": r"audio: no_sound.mp4: no audio stream",
    "no_samples": r"audio: no_samples.wav: no sound",
    "not_a_number": r"audio: not_a_number.wav: holds samples that are not finite",
    "silent": r"audio: silent",
    "short": r"segments: too short: 0.50 s",
    "clipped": r"note: clipped: \d+% of samples",
    "loop": r"corpus: Too many levels of symbolic links",
    "dangling": r"corpus: No such file or directory",
    "hi_fi": GOOD,  # 96 kHz stereo
    "telephone": r"note: sampled at 8000 Hz: holds nothing above 4000 Hz",
    "double": r"note: same sound as clipped",
    "twin": r"corpus: twin.wav: a clip of this name exists, twin.flac is used",
    # names
    " a b": GOOD,
    "quote\"'s": GOOD,
    "üñí": GOOD,
    "two\nlines": GOOD,
    "comma,": GOOD,
    # faces
    "spaced": GOOD,
    "no_face_id": GOOD,
    "two_faces": GOOD,
    "stale": r"face: no face in \d of \d windows",
    "nan_ind": GOOD,  # in a few frames
    "faceless": r"face: kept without face labels: no CSV",
    "empty_csv": r"face: kept without face labels: empty_csv.csv: .*(empty|No columns|not an)",
    "only_header": r"face: kept without face labels: only_header.csv: holds no frames",
    "few_rows": r"face: kept without face labels: too few rows \(1\)",
    "no_landmarks": r"face: kept without face labels: no_landmarks.csv: landmark columns",
    "no_units": r"face: kept without face labels: no_units.csv: action unit columns",
    "other_fps": r"face: kept without face labels: the track is longer than the sound",
    "stops_early": r"face: the track stops early, at 3.\d+ s of 5.\d+ s",
    "late": r"face: the track starts late, at 2.00 s",
}


def write_sounds(media, waveform):
    """A file for every name above; those without a fault of their own hold `waveform`, shifted."""
    names = {*REASONS} - {"html", "no_sound", "hi_fi", "loop", "dangling", "double"}
    for shift, name in enumerate(sorted(names)):
        soundfile.write(media / f"{name}.wav", np.roll(waveform, 100 * shift), 16_000)
    (media / "zero_bytes.wav").write_bytes(b"")
    (media / "html.mp4").write_text("<html><body>404 Not Found</body></html>" * 50)
    (media / "text.wav").write_text("no sound")
    content = (media / "truncated.wav").read_bytes()
    (media / "truncated.wav").write_bytes(content[: len(content) // 2])
    soundfile.write(media / "no_samples.wav", np.zeros(0), 16_000)
    broken = np.append(waveform[:-1], np.nan)
    soundfile.write(media / "not_a_number.wav", broken, 16_000, subtype="FLOAT")
    soundfile.write(media / "silent.wav", np.zeros(80_000), 16_000)
    soundfile.write(media / "short.wav", waveform[:8_000], 16_000)
    soundfile.write(media / "clipped.wav", np.clip(100 * waveform, -1, 1), 16_000)
    shutil.copy(media / "clipped.wav", media / "double.wav")
    soundfile.write(media / "twin.flac", waveform[::-1], 16_000)
    soundfile.write(media / "telephone.wav", waveform[::2], 8_000)
    (media / "loop.wav").symlink_to(media / "loop.wav")
    (media / "dangling.wav").symlink_to(media / "nowhere.wav")
    stereo = np.stack([np.repeat(waveform, 6)] * 2, axis=1)
    soundfile.write(media / "hi_fi.wav", stereo, 96_000)
    write_silent_film(media / "no_sound.mp4")


def write_silent_film(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 64
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        for packet in [*(p for _ in range(75) for p in stream.encode(frame)), *stream.encode()]:
            container.mux(packet)


def write_faces(faces, good):
    """The same track for all, but for what each name says."""
    for name in {*REASONS} - {"faceless"}:
        shutil.copy(good, faces / f"{name}.csv")
    table = pd.read_csv(good)
    table["success"] = 1
    units = [name for name in table if re.fullmatch(r"AU\d\d_c", name)]

    def write(name, table):
        table.to_csv(faces / f"{name}.csv", index=False)

    for name in REASONS:
        if name not in ("stale", "faceless"):
            write(name, table)
    (faces / "spaced.csv").write_text((faces / "good.csv").read_text().replace(",", ", "))
    write("no_face_id", table.drop(columns="face_id"))
    other = table.assign(face_id=1, success=0, confidence=0.1)
    write("two_faces", pd.concat([other, table]).sort_values("frame", kind="stable"))
    write("stale", table.assign(success=(table["timestamp"] > 4.5).astype(int)))
    (faces / "nan_ind.csv").write_text(
        table.astype({"x_0": object}).set_index("frame").assign(x_0=lambda t: [
            "-nan(ind)" if index < 5 else value for index, value in enumerate(t["x_0"])
        ]).reset_index().to_csv(index=False)
    )  # fmt: skip
    (faces / "empty_csv.csv").write_text("")
    write("only_header", table[:0])
    write("few_rows", table[:1])
    write("no_landmarks", table.drop(columns=[f"x_{i}" for i in range(68)]))
    write("no_units", table.drop(columns=units))
    write("other_fps", table.assign(timestamp=table["timestamp"] * 2))
    write("stops_early", table[table["timestamp"] < 3.3])
    write("late", table[table["timestamp"] >= 2])


@pytest.fixture(scope="module")
def prepared(faces, tmp_path_factory):
    root = tmp_path_factory.mktemp("bad")
    (root / "media").mkdir()
    (root / "openface").mkdir()
    clip = min((faces / "media").iterdir())
    write_sounds(root / "media", audio.read(clip)[: 16_000 * 5 + 8_000])
    write_faces(root / "openface", crop(faces / "openface" / f"{clip.stem}.csv", root))
    return prepare("pretext/folder", root, root / "data", workers=1)


def crop(path, root):
    table = pd.read_csv(path)
    table[table["timestamp"] < 5.5].to_csv(root / "good.csv", index=False)
    return root / "good.csv"


@pytest.fixture(scope="module")
def lines(prepared):
    return ledger.read(prepared.data_path / ledger.NAME)


@pytest.mark.parametrize("name", REASONS)
def test_each_has_its_own_reason(lines, name):
    found = [f"{line.stage}: {line.reason}" for line in lines if line.clip == name]
    if REASONS[name] == GOOD:
        assert not found
    else:
        assert any(re.match(REASONS[name], line) for line in found), found


def test_what_can_be_used_is_used(prepared, lines):
    lost = {line.clip for line in lines if line.stage in ("corpus", "audio", "segments")}
    assert {e["clip"].decode() for e in read_all(prepared)} == {*REASONS} - lost | {"twin"}


def test_without_a_face_the_sound_still_has_its_label(prepared):
    for example in read_all(prepared):
        if example["clip"] == b"faceless":
            assert example["labels"].pop("energy") in (0, 1)
            assert {*example["labels"].values()} == {-1}
