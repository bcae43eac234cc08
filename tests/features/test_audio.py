import re

import av
import numpy as np
import pytest
import soundfile

from sersl_jax.features import audio

SOUND = [("wav", "PCM_16"), ("wav", "PCM_U8"), ("wav", "PCM_24"), ("wav", "FLOAT"),
         ("flac", "PCM_16"), ("mp3", None), ("ogg", "VORBIS"), ("opus", "OPUS")]  # fmt: skip
MEDIA = [("mp4", "aac"), ("mkv", "flac"), ("avi", "mp3"), ("mkv", "libopus")]


def tone(rate: int, seconds: float = 3.0, hertz: float = 440.0) -> np.ndarray:
    """A tone that swells, so that a shift in time shows."""
    time = np.arange(round(rate * seconds)) / rate
    return (0.1 * (1 + time) * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def write_video(path, codec: str | None, rate: int, samples: np.ndarray, **tags: str) -> None:
    """Three seconds of grey at 25 frames/s, with `samples` as sound where a codec is given."""
    with av.open(str(path), "w") as container:
        container.metadata.update(tags)
        picture = container.add_stream("mpeg4", rate=25, width=32, height=32, pix_fmt="yuv420p")
        sound = codec and container.add_stream(codec, rate=rate, layout="mono")
        for _ in range(75):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 128, np.uint8), "rgb24")
            container.mux(picture.encode(frame))
        container.mux(picture.encode())
        if sound:
            frame = av.AudioFrame.from_ndarray(samples[None], "fltp", "mono")
            frame.rate, frame.pts = rate, 0
            resampler = av.AudioResampler(
                sound.format, sound.layout, rate, sound.frame_size or 1024
            )
            for part in [*resampler.resample(frame), *resampler.resample(None), None]:
                container.mux(sound.encode(part))


def assert_is_tone(waveform: np.ndarray, tolerance: float) -> None:
    assert waveform.dtype == np.float32
    assert waveform.ndim == 1
    assert len(waveform) == pytest.approx(48_000, abs=1_500)
    middle = slice(8_000, 40_000)
    np.testing.assert_allclose(waveform[middle], tone(16_000)[middle], atol=tolerance)


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_any_rate_and_channels_become_mono_16_khz(tmp_path, rate, channels):
    samples = np.repeat(tone(rate)[:, None], channels, axis=1)
    soundfile.write(tmp_path / "a.wav", samples, rate, subtype="FLOAT")
    waveform = audio.read(tmp_path / "a.wav")
    assert len(waveform) == 48_000
    assert_is_tone(waveform, 2e-4)


def test_channels_are_averaged(tmp_path):
    samples = np.stack([tone(16_000), np.zeros(48_000, np.float32)], axis=1)
    soundfile.write(tmp_path / "a.wav", samples, 16_000, subtype="FLOAT")
    np.testing.assert_array_equal(audio.read(tmp_path / "a.wav"), tone(16_000) / 2)


def test_what_16_khz_cannot_hold_is_filtered_out(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(44_100, hertz=9_000.0), 44_100)
    assert np.abs(audio.read(tmp_path / "a.wav")[1_000:-1_000]).max() < 1e-3


@pytest.mark.parametrize(("suffix", "subtype"), SOUND)
def test_sound_files(tmp_path, suffix, subtype):
    path, rate = tmp_path / f"a.{suffix}", 48_000 if subtype == "OPUS" else 44_100
    container = "OGG" if suffix == "opus" else None
    soundfile.write(path, tone(rate), rate, subtype=subtype, format=container)
    lossy = 0.02 if suffix in ("mp3", "ogg", "opus") else 0.01 if subtype == "PCM_U8" else 1e-3
    assert_is_tone(audio.read(path), lossy)


@pytest.mark.parametrize(("suffix", "codec"), MEDIA)
def test_videos(tmp_path, suffix, codec):
    path = tmp_path / f"a.{suffix}"
    write_video(path, codec, 48_000, tone(48_000))
    waveform = audio.read(path)
    assert len(waveform) == pytest.approx(48_000, abs=1_500)
    shift = np.argmax(np.correlate(waveform[8_000:24_000], tone(16_000)[8_100:23_900]))
    assert abs(shift - 100) <= 40 * 16  # codecs may start with a little silence
    peak = np.abs(waveform[20_000:30_000]).max()
    assert peak == pytest.approx(np.abs(tone(16_000)[20_000:30_000]).max(), rel=0.1)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3", "a.ogg", "a.mp4", "a.mkv", "a.mpg"])
@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_a_cut_is_a_piece_of_the_whole(tmp_path, name, rate):
    time = np.arange(12 * rate) / rate
    samples = (0.3 * np.sin(2 * np.pi * (100 + 20 * time) * time)).astype(np.float32)  # a chirp
    path = tmp_path / name
    # mkv rounds its times to 1 ms, no whole number of samples.
    lags, tolerance = (range(-8, 9), 0.05) if path.suffix == ".mkv" else ((0,), 0.01)
    if path.suffix in (".mp4", ".mkv", ".mpg"):
        write_video(path, "mp2" if path.suffix == ".mpg" else "aac", rate, samples)
    else:
        soundfile.write(path, samples, rate)
    whole = audio.read(path)
    for start, end in ((0.0, 2.0), (0.37, 1.1), (7.123, 9.123), (10.5, None), (11.0, 99.0)):
        stop = None if end is None else round(end * 16_000)
        cut, piece = audio.read(path, start, end), whole[round(start * 16_000) : stop]
        assert cut.size == pytest.approx(piece.size, abs=max(lags))
        size = min(cut.size, piece.size)
        worst = [np.abs(np.roll(cut[:size], lag) - piece[:size])[8:-8].max() for lag in lags]
        assert min(worst) < tolerance


def test_odd_names(tmp_path):
    for name in ("two words.wav", 'it\'s "q".wav', "ünïcode.wav", "new\nline.wav", "c:olon.mp4"):
        soundfile.write(tmp_path / name, tone(16_000), 16_000, format="WAV")
        assert len(audio.read(tmp_path / name)) == 48_000
    write_video(tmp_path / "video.mp4", "aac", 16_000, tone(16_000))
    odd = (tmp_path / "video.mp4").rename(tmp_path / "a:b\n'c'.mp4")
    assert len(audio.read(odd)) > 47_000


def test_tags_that_are_no_utf_8_do_no_harm(tmp_path):
    path = tmp_path / "a.mkv"
    write_video(path, "aac", 16_000, tone(16_000), title="TITLETITLE")
    path.write_bytes(path.read_bytes().replace(b"TITLETITLE", b"TIT\xff\xfe\xe9TITL"))
    assert len(audio.read(path)) > 47_000


def _truncate(path, share: float):
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])


def make_empty(path):
    path.write_bytes(b"")


def make_page(path):
    path.write_text("<!DOCTYPE html><html><body>Video unavailable</body></html>" * 50)


def make_mute(path):
    write_video(path, None, 16_000, tone(16_000))


def make_without_samples(path):
    soundfile.write(path, np.zeros(0, np.float32), 16_000)


def make_nan(path):
    soundfile.write(path, np.full(16_000, np.nan, np.float32), 16_000, subtype="FLOAT")


def make_absurd(path):
    soundfile.write(path, np.zeros((1000, 8)), 655_350)


def make_cut_sound(path):
    soundfile.write(path, tone(16_000), 16_000)
    _truncate(path, 0.5)


def make_cut_video(path):
    write_video(path, "aac", 16_000, tone(16_000))
    _truncate(path, 0.6)


@pytest.mark.parametrize(
    ("name", "make", "reason"),
    [
        ("a.wav", make_empty, "0 bytes"),
        ("a.mp4", make_empty, "0 bytes"),
        ("a.mp4", make_page, "not readable"),
        ("a.mp3", make_page, "not readable"),
        ("a.mp4", make_mute, "no audio stream"),
        ("a.wav", make_without_samples, "no sound"),
        ("a.wav", make_nan, "not finite"),
        ("a.wav", make_cut_sound, "truncated"),
        ("a.flac", make_cut_sound, "truncated|not readable"),
        ("a.mp3", make_cut_sound, "truncated"),
        ("a.ogg", make_cut_sound, "truncated|not readable"),
        ("a.mp4", make_cut_video, "not readable"),  # its index stands at the end
        ("a.flac", make_absurd, "sampled at 655350 Hz, more than 384000 Hz"),
    ],
)
def test_bad_files_are_named_with_a_reason(tmp_path, name, make, reason):
    make(tmp_path / name)
    with pytest.raises(audio.AudioError, match=reason) as caught:
        audio.read(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def write_ogg(path, subtype: str, later: float = 0.0) -> bytes:
    """An Ogg file of 3 s whose last page says that it ends `later` (s)."""
    soundfile.write(path, tone(48_000), 48_000, subtype=subtype, format="OGG")
    content = bytearray(path.read_bytes())
    page = content.rfind(b"OggS")
    end = int.from_bytes(content[page + 6 : page + 14], "little") + round(48_000 * later)
    content[page + 6 : page + 14] = end.to_bytes(8, "little")
    return reseal(content, page)


def reseal(content: bytearray, page: int) -> bytes:
    """With the right checksum of the page that begins there and is the last."""
    content[page + 22 : page + 26] = bytes(4)
    crc = 0
    for byte in content[page:]:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc >> 31 else 0)) & 0xFFFFFFFF
    content[page + 22 : page + 26] = crc.to_bytes(4, "little")
    return bytes(content)


@pytest.mark.parametrize("subtype", ["OPUS", "VORBIS"])
def test_a_compressed_sound_may_end_a_moment_early(tmp_path, subtype):
    path, notes = tmp_path / "a.ogg", []
    path.write_bytes(write_ogg(path, subtype))
    whole = audio.read(path, notes=notes)
    assert notes == []
    path.write_bytes(write_ogg(path, subtype, later=0.06))
    np.testing.assert_allclose(audio.read(path, notes=notes)[:47_900], whole[:47_900], atol=1e-3)
    assert re.fullmatch(r"ends 0\.0\d s before its header says", *notes)
    path.write_bytes(write_ogg(path, subtype, later=0.2))
    with pytest.raises(audio.AudioError, match="truncated"):
        audio.read(path)


@pytest.mark.parametrize("subtype", ["OPUS", "VORBIS"])
def test_an_ogg_file_that_was_cut_is_refused(tmp_path, subtype):
    path, notes = tmp_path / "a.ogg", []
    whole = write_ogg(path, subtype)
    for share in (0.3, 0.5, 0.8, 0.97, 0.999):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(audio.AudioError, match=r"truncated|not readable"):
            audio.read(path)
    last = bytearray(whole)
    last[whole.rfind(b"OggS") + 5] &= ~4  # as recorders leave it that are switched off
    path.write_bytes(reseal(last, whole.rfind(b"OggS")))
    assert len(audio.read(path, notes=notes)) > 47_000
    assert notes == ["its end is not marked: it may have been cut"]


@pytest.mark.parametrize(("rate", "number"), [(8_000, 1), (16_000, 0), (48_000, 0)])
def test_a_low_sampling_rate_is_noted(tmp_path, rate, number):
    path, notes = tmp_path / "a.wav", []
    soundfile.write(path, np.full(rate, 0.1), rate)
    assert len(audio.read(path, notes=notes)) == 16_000
    assert notes == ["sampled at 8000 Hz: holds nothing above 4000 Hz"] * number


def test_a_cut_outside_the_file(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(16_000), 16_000)
    with pytest.raises(audio.AudioError, match=r"no sound from 5\.0 s to 7\.0 s"):
        audio.read(tmp_path / "a.wav", 5.0, 7.0)


def test_missing_files_and_link_loops_are_os_errors(tmp_path):
    (tmp_path / "loop.wav").symlink_to(tmp_path / "loop.wav")
    for name in ("missing.wav", "loop.wav"):
        with pytest.raises(OSError, match=name):
            audio.read(tmp_path / name)


def test_real_files(shared_data):
    clip = audio.read(shared_data / "crema_d" / "AudioOpus" / "1001_DFA_ANG_XX.opus")
    talk = audio.read(shared_data / "talking_faces" / "media" / "spk04_3.mp4")
    assert (len(clip) / 16_000, len(talk) / 16_000) == pytest.approx((2.28, 7.04), abs=0.05)
