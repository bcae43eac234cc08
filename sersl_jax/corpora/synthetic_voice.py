"""A source-filter voice that babbles with an emotion: pulses of the larynx through formants."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

SAMPLE_RATE = 16_000
# Formants in Hz of five vowels (a, e, i, o, u) of an average vocal tract; bandwidths in Hz.
_VOWELS = np.array([[730, 1150, 2500], [530, 1850, 2500], [290, 2250, 3000], [560, 880, 2450],
                    [320, 900, 2300]], float)  # fmt: skip
_BANDWIDTHS = np.array([80.0, 100.0, 140.0])


@dataclass(frozen=True)
class Manner:
    """How an emotion changes a voice, relative to the speaker's neutral one."""

    pitch: float = 0.0  # semitones
    pitch_range: float = 1.0  # factor
    gain: float = 0.0  # dB
    tilt: float = 0.0  # added to the pole of the glottal low-pass
    rate: float = 1.0  # factor on syllables per second
    breath: float = 0.0  # added share of noise in the source


MANNERS = {
    "neutral": Manner(pitch_range=0.8),
    "anger": Manner(2.0, 1.4, 7.0, -0.13, 1.15, -0.01),
    "disgust": Manner(-2.0, 1.2, -1.0, -0.03, 0.76, 0.03),
    "fear": Manner(4.0, 0.75, 1.0, -0.03, 1.22, 0.03),
    "happiness": Manner(4.0, 1.8, 2.5, -0.04, 1.0, 0.0),
    "sadness": Manner(-1.5, 0.6, -4.5, 0.04, 0.80, 0.04),
    "surprise": Manner(5.0, 1.9, 2.0, -0.03, 0.95, 0.01),
    "other": Manner(0.0, 0.9, 0.0, 0.0, 1.0, 0.0),
}


@dataclass(frozen=True)
class Voice:
    """A speaker: mean pitch in Hz, formant scale, level in dB, glottal pole, syllables a second."""

    pitch: float
    formants: float
    level: float
    tilt: float
    rate: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Voice":
        """A random speaker, of either sex with equal probability."""
        female = rng.random() < 0.5
        return cls(
            pitch=(205 if female else 115) * 2 ** rng.normal(0, 0.12),
            formants=(1.12 if female else 0.98) * np.exp(rng.normal(0, 0.04)),
            level=rng.normal(-26, 2.0),
            tilt=rng.normal(0.88, 0.02),
            rate=rng.normal(4.2, 0.4),
        )


def babble(
    voice: Voice, manner: Manner, duration: float, vigour: float, rng: np.random.Generator
) -> Float[np.ndarray, " samples"]:
    """`duration` seconds of syllables at 16 kHz; `vigour` (about 0 +- 1) is the clip's own force.

    Every trait of the manner is blurred, so that emotions overlap.
    """
    syllables = _syllables(duration, voice.rate * manner.rate * np.exp(rng.normal(0, 0.06)), rng)
    accents = rng.normal(0, 1, len(syllables)) + 0.7 * vigour
    semitones = manner.pitch + rng.normal(0, 0.8) + vigour
    semitones += 1.3 * manner.pitch_range * accents - np.linspace(0, 2.0, len(syllables))
    centres = np.array([(start + end) / 2 for start, end in syllables])
    pitch = _contour(duration, centres, voice.pitch * 2 ** (semitones / 12), rng)
    source = _larynx(pitch, np.clip(voice.tilt + manner.tilt + rng.normal(0, 0.02), 0.5, 0.98))
    breath = max(0.01, 0.04 + manner.breath + rng.normal(0, 0.01))
    source += breath * rng.standard_normal(source.size)
    level = voice.level + manner.gain + 3.5 * vigour + rng.normal(0, 1.0)
    sound = _articulate(source, syllables, accents, voice.formants, rng)
    sound *= 10 ** (level / 20) / np.sqrt(np.mean(sound**2) + 1e-12)
    room = 10 ** (rng.normal(-58, 3) / 20) * rng.standard_normal(sound.size)
    return np.clip(sound + room, -0.99, 0.99).astype(np.float32)


def _syllables(duration: float, rate: float, rng: np.random.Generator) -> list[tuple[float, float]]:
    """(start, end) seconds of syllables: phrases of four to eight with pauses between."""
    syllables, time = [], rng.uniform(0.05, 0.2)
    left = rng.integers(4, 9)
    while time < duration - 0.15:
        end = min(time + np.exp(rng.normal(0, 0.2)) / rate, duration - 0.05)
        syllables.append((time, end))
        left -= 1
        time = end + (rng.uniform(0.25, 0.7) if left == 0 else 0.0)
        left = rng.integers(4, 9) if left == 0 else left
    return syllables


def _contour(
    duration: float,
    times: Float[np.ndarray, " syllables"],
    values: Float[np.ndarray, " syllables"],
    rng: np.random.Generator,
) -> Float[np.ndarray, " samples"]:
    """Interpolates syllable targets to every sample, with a little jitter."""
    ticks = np.arange(0, duration + 0.02, 0.01)
    slow = np.interp(ticks, times, values) * np.exp(rng.normal(0, 0.008, ticks.size))
    return np.interp(np.arange(round(duration * SAMPLE_RATE)) / SAMPLE_RATE, ticks, slow)


def _larynx(pitch: Float[np.ndarray, " samples"], pole: float) -> Float[np.ndarray, " samples"]:
    """A pulse a period, shared between its two nearest samples, through a low-pass of `pole`."""
    from scipy import signal  # takes half a second, also where the corpus is written already

    phase = np.cumsum(pitch / SAMPLE_RATE)
    ends = np.flatnonzero(np.diff(np.floor(phase)))
    late = (phase[ends + 1] % 1) / (pitch[ends + 1] / SAMPLE_RATE)
    pulses = np.zeros_like(pitch)
    pulses[ends] += late
    pulses[ends + 1] += 1 - late
    pulses -= np.mean(pulses)
    return np.asarray(signal.lfilter([1 - pole], [1, -pole], pulses))


def _articulate(
    source: Float[np.ndarray, " samples"],
    syllables: list[tuple[float, float]],
    accents: Float[np.ndarray, " syllables"],
    scale: float,
    rng: np.random.Generator,
) -> Float[np.ndarray, " samples"]:
    """Gives every syllable a consonant's noise, a vowel's formants and an envelope."""
    from scipy import signal

    sound = np.zeros_like(source)
    for (start, end), accent in zip(syllables, accents, strict=True):
        first, last = round(start * SAMPLE_RATE), round(end * SAMPLE_RATE)
        piece = source[first:last]
        formants = scale * _VOWELS[rng.integers(len(_VOWELS))] * np.exp(rng.normal(0, 0.05, 3))
        ramp = np.linspace(0, 1, piece.size)
        envelope = np.sin(np.pi * ramp**0.7) ** 0.8
        vowel = signal.sosfilt(_resonators(formants), piece) * envelope
        hiss = np.diff(rng.standard_normal(piece.size + 1)) * np.exp(-ramp / 0.08)
        loudness = np.sqrt(np.mean(vowel**2) + 1e-12)
        sound[first:last] = 10 ** (1.5 * accent / 20) * (
            vowel / loudness + rng.choice([0.0, 0.3, 0.6]) * hiss
        )
    return sound


def _resonators(formants: Float[np.ndarray, " formants"]) -> Float[np.ndarray, "formants 6"]:
    """Second-order sections, one per formant in Hz, each with gain 1 at 0 Hz."""
    radius = np.exp(-np.pi * _BANDWIDTHS / SAMPLE_RATE)
    a1, a2 = -2 * radius * np.cos(2 * np.pi * formants / SAMPLE_RATE), radius**2
    zero, one = np.zeros_like(a1), np.ones_like(a1)
    return np.stack([1 + a1 + a2, zero, zero, one, a1, a2], axis=1)
