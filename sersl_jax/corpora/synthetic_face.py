"""A 68-point face that talks in time with a sound, moves its head and shows an emotion."""

import numpy as np
from jaxtyping import Bool, Float

from sersl_jax.features.openface import AU_NAMES, FaceTrack

FPS = 25.0
# The paper's Table 1 (EMFACS), top and bottom action units; "other" shows none of them.
SHOWN = {
    "happiness": ("AU06", "AU12"),
    "sadness": ("AU01", "AU04", "AU15"),
    "surprise": ("AU01", "AU02", "AU05", "AU26"),
    "anger": ("AU04", "AU05", "AU07", "AU23"),
    "other": (),
}


def perform(
    sound: Float[np.ndarray, " samples"],
    emotion: str,
    vigour: Float[np.ndarray, " samples"],
    rng: np.random.Generator,
) -> FaceTrack:
    """The tracked face of someone who says `sound` (16 kHz).

    Jaw and mouth follow the sound's envelope, brows its accents, and the head moves more the
    greater `vigour` is. Tracking is lost now and then: such rows keep the last face.
    """
    frames = int(sound.size / 16_000 * FPS)
    loud = _envelope(sound, frames)
    force = vigour[:: round(16_000 / FPS)][:frames] + rng.normal(0, 0.15)
    success = _tracking(frames, rng)
    confidence = np.where(success, rng.uniform(0.9, 0.98, frames), rng.uniform(0, 0.2, frames))
    landmarks, head = _landmarks(loud, force, rng)
    return FaceTrack(
        timestamps=np.arange(frames) / FPS,
        success=success,
        confidence=confidence,
        landmarks=_hold(landmarks, success),
        action_units=_hold(_action_units(emotion, loud, rng), success),
        pose=_hold(_pose(head), success),
    )


def _envelope(sound: Float[np.ndarray, " samples"], frames: int) -> Float[np.ndarray, " frames"]:
    """Loudness of each video frame, square root of the RMS over its largest usual value (0.3)."""
    hop = round(16_000 / FPS)
    rms = np.sqrt(np.mean(sound[: frames * hop].reshape(frames, hop) ** 2, axis=1))
    return np.sqrt(np.minimum(rms / 0.3, 1.0))


def _landmarks(
    loud: Float[np.ndarray, " frames"],
    force: Float[np.ndarray, " frames"],
    rng: np.random.Generator,
) -> tuple[Float[np.ndarray, "frames 68 2"], Float[np.ndarray, "frames 2"]]:
    """Pixel positions: the mean face, opened by loudness, carried by the head, and noise.

    Also what the head moves by.
    """
    frames = loud.size
    shape = np.repeat(mean_face()[None], frames, axis=0)
    opening = 30 * loud * np.exp(rng.normal(0, 0.15))
    shape[:, 48:68, 1] += 0.35 * opening[:, None]
    shape[:, [55, 56, 57, 58, 59, 65, 66, 67], 1] += 0.65 * opening[:, None]
    shape[:, 4:13, 1] += 0.8 * opening[:, None] * np.sin(np.linspace(0.4, np.pi - 0.4, 9))
    raised = np.exp(0.9 * force) * _wander(frames, 1.5, rng)
    shape[:, 17:27, 1] -= 8.0 * raised[:, None]
    shake, nod = _wander(frames, 0.9, rng), 0.7 * _wander(frames, 1.0, rng)
    nod += 2.0 * (loud - loud.mean())
    head = 2.2 * np.exp(0.8 * force)[:, None] * np.stack([shake, nod], axis=1)
    size, place = rng.uniform(0.8, 1.1), rng.uniform(200, 400, 2)
    noise = rng.normal(0, 0.3, (frames, 68, 2))
    return size * shape + place + head[:, None, :] + noise, head


def _pose(head: Float[np.ndarray, "frames 2"]) -> Float[np.ndarray, "frames 6"]:
    """Place (mm) and rotation (radians) of a head 0.6 m away that nods and shakes as it moves."""
    right, down = head.T
    still = np.zeros(right.size)
    return np.stack([right, down, still + 600, 0.03 * down, 0.03 * right, still], axis=1)


def _wander(frames: int, hertz: float, rng: np.random.Generator) -> Float[np.ndarray, " frames"]:
    """A smooth random trace of variance about 1 whose fastest part is near 2 * `hertz`."""
    rates = hertz * rng.uniform(0.3, 2.0, 5)
    waves = np.sin(2 * np.pi * (np.outer(np.arange(frames) / FPS, rates) + rng.random(5)))
    return waves @ rng.normal(0, np.sqrt(2 / 5), 5)


def _action_units(
    emotion: str, loud: Float[np.ndarray, " frames"], rng: np.random.Generator
) -> Float[np.ndarray, "frames 18"]:
    """Detections (0 or 1): the emotion's own now and then, lips by loudness, blinks, and noise."""
    frames = loud.size
    shown = _episodes(frames, 0.75, 2.0, rng)
    units = np.stack([_episodes(frames, 0.02, 0.4, rng) for _ in AU_NAMES], axis=1)
    for name in SHOWN[emotion]:
        units[:, AU_NAMES.index(name)] |= shown & _episodes(frames, 0.7, 0.8, rng)
    units[:, AU_NAMES.index("AU25")] |= loud > 0.45
    units[:, AU_NAMES.index("AU45")] |= _episodes(frames, 0.08, 0.15, rng)
    return units.astype(float)


def _episodes(
    frames: int, share: float, seconds: float, rng: np.random.Generator
) -> Bool[np.ndarray, " frames"]:
    """On for episodes of about `seconds`, in total for about `share` of the time."""
    off = 1 / (seconds * FPS)
    on = min(1.0, off * share / (1 - share))
    draws, state = rng.random(frames + 1), rng.random() < share
    states = np.empty(frames, bool)
    for frame in range(frames):
        state = draws[frame] >= off if state else draws[frame] < on
        states[frame] = state
    return states


def _tracking(frames: int, rng: np.random.Generator) -> Bool[np.ndarray, " frames"]:
    """False where the tracker is lost: an episode in most clips, nearly all of a few."""
    lost = 0.9 if rng.random() < 0.03 else 0.03
    return ~_episodes(frames, lost, 0.6, rng)


def _hold(values: np.ndarray, success: Bool[np.ndarray, " frames"]) -> np.ndarray:
    """Repeats the last tracked row where tracking is lost, as OpenFace does."""
    last = np.maximum.accumulate(np.where(success, np.arange(success.size), 0))
    return values[last]


def mean_face() -> Float[np.ndarray, "68 2"]:
    """A frontal face in the 68-point order, about 150 pixels wide, centred at the nose."""
    jaw = np.linspace(np.pi, 0, 17)
    points = [np.stack([75 * np.cos(jaw), 85 * np.sin(jaw) ** 0.8 - 5], axis=1)]
    for side in (-1, 1):
        x = -np.linspace(62, 18, 5) if side < 0 else np.linspace(18, 62, 5)
        points.append(np.stack([x, -48 - 8 * np.sin(np.linspace(0.3, np.pi - 0.3, 5))], axis=1))
    points.append(np.stack([np.zeros(4), np.linspace(-28, 8, 4)], axis=1))
    points.append(np.stack([np.linspace(-15, 15, 5), [16, 19, 21, 19, 16]], axis=1))
    eye = np.array([[-13, 0], [-5, -6], [5, -6], [13, 0], [5, 5], [-5, 5]], float)
    points += [eye + np.array((x, -25.0)) for x in (-36, 36)]
    outer = np.pi - np.linspace(0, 2 * np.pi, 12, endpoint=False)
    inner = np.pi - np.linspace(0, 2 * np.pi, 8, endpoint=False)
    points.append(np.stack([28 * np.cos(outer), 43 - 10 * np.sin(outer)], axis=1))
    points.append(np.stack([21 * np.cos(inner), 43 - 3 * np.sin(inner)], axis=1))
    return np.concatenate(points)
