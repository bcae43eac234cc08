import filecmp

import numpy as np
import pytest

from sersl_jax.corpora import synthetic, synthetic_face, synthetic_voice
from sersl_jax.features import audio, openface


@pytest.fixture(scope="module")
def pretext(tmp_path_factory):
    root = tmp_path_factory.mktemp("synthetic") / "pretext"
    return synthetic.write_pretext(root, num_speakers=2, clips_per_speaker=2)


def test_the_same_arguments_give_the_same_files(pretext, tmp_path):
    again = synthetic.write_pretext(tmp_path / "again", num_speakers=2, clips_per_speaker=2)
    names = [f"{path.relative_to(pretext)}" for path in pretext.rglob("*.*")]
    assert len(names) == 9
    assert filecmp.cmpfiles(pretext, again, names, shallow=False) == (names, [], [])


def test_every_clip_has_sound_face_and_speaker(pretext):
    clips = synthetic.clips(pretext)
    assert [clip.speaker_id for clip in clips] == ["talk000", "talk000", "talk001", "talk001"]
    for clip in clips:
        waveform, track = audio.read(clip.media), openface.read(clip.face)
        assert 5 < waveform.size / audio.SAMPLE_RATE < 11
        assert track.timestamps[-1] == pytest.approx(waveform.size / audio.SAMPLE_RATE, abs=0.1)


def test_speech_has_every_class_and_other_speakers(tmp_path, pretext):
    root = synthetic.write_speech(tmp_path / "speech", num_speakers=2, clips_per_speaker=6)
    clips = synthetic.clips(root)
    assert {clip.labels["emotion"] for clip in clips} == {*synthetic.CLASSES}
    ratings = {c.labels["emotion"]: c.attributes for c in clips}
    assert float(ratings["anger"]["arousal"]) > float(ratings["sadness"]["arousal"])
    assert float(ratings["happiness"]["valence"]) > float(ratings["anger"]["valence"])
    assert not {c.speaker_id for c in clips} & {c.speaker_id for c in synthetic.clips(pretext)}


def test_the_mouth_follows_the_sound():
    rng = np.random.default_rng(0)
    sound = 0.2 * rng.standard_normal(16_000 * 8) * np.repeat([0.01, 1] * 8, 8_000)
    track = synthetic_face.perform(sound, "other", np.zeros(sound.size), rng)
    opening = (track.landmarks[:, 57, 1] - track.landmarks[:, 51, 1])[track.success]
    loud = np.repeat([0, 1] * 8, 25)[::2][: track.success.size][track.success]
    assert np.corrcoef(opening, loud)[0, 1] > 0.7


def test_anger_is_louder_than_sadness():
    voice = synthetic_voice.Voice.draw(np.random.default_rng(0))

    def level(emotion):
        manner, rng = synthetic_voice.MANNERS[emotion], np.random.default_rng(1)
        return np.std(synthetic_voice.babble(voice, manner, 2.0, 0.0, rng))

    assert level("anger") > 2 * level("sadness")
