"""Face tracks in OpenFace's CSV format (2.x with `-2Dfp -aus -pose`; 1.x is read too)."""

import os
import shutil
import signal
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from sersl_jax import files
from sersl_jax.features import media
from sersl_jax.features.face_track import FaceError, FaceTrack
from sersl_jax.pretext.action_units import UNITS

AU_NAMES = tuple(f"AU{unit:02d}" for unit in UNITS)
NUM_LANDMARKS = 68

_POINTS = [f"{axis}_{i}" for axis in "xy" for i in range(NUM_LANDMARKS)]
_DETECTIONS = [f"{name}_c" for name in AU_NAMES]
_INTENSITIES = [f"{name}_r" for name in AU_NAMES if name != "AU28"]
_POSE = [f"pose_{what}{axis}" for what in "TR" for axis in "xyz"]
_COLUMNS = ["frame", "face_id", "timestamp", "confidence", "success", *_POINTS, *_DETECTIONS]
_FRAME, _FACE, _TIME, _CONFIDENCE, _SUCCESS = range(5)
_XY, _AUS = slice(5, 141), slice(141, 159)
_REST = slice(159, None)  # pose, where it is there
_running: set[subprocess.Popen] = set()
_NOT_NUMBERS = ["-nan(ind)", "nan(ind)", "-nan", "1.#QNAN", "-1.#IND", "1.#INF"]


def read(path: str | Path) -> FaceTrack:
    """Reads an OpenFace CSV, of several faces the one that was tracked in most frames.

    Accepted: spaces around names and values, no `face_id` (1.x), a last line cut short and
    "-nan(ind)" (such frames count as failed), frames without a row (failed too).

    Raises:
        FaceError: not such a CSV, columns missing, no rows, or timestamps that do not increase.
        OSError: `path` cannot be opened.
    """
    path = Path(path)
    return _read(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=4)  # a long video's track serves all its segments, one after the other
def _read(path: Path, modified: int) -> FaceTrack:
    rows = _main_face(_read_rows(path))
    rows[~np.isfinite(rows).all(axis=1), _SUCCESS] = 0
    if np.ptp(rows[:, _FRAME]) > 100 * len(rows) + 1000:
        raise FaceError(f"{path}: frame numbers jump; run FeatureExtraction again")
    frames = np.arange(rows[0, _FRAME], rows[-1, _FRAME] + 1)  # those without a row get one
    timestamps = np.interp(frames, rows[:, _FRAME], rows[:, _TIME])
    if (np.diff(timestamps) <= 0).any():
        raise FaceError(f"{path}: timestamps do not increase; give OpenFace the video, not images")
    full = np.zeros((frames.size, rows.shape[1]))
    full[(rows[:, _FRAME] - rows[0, _FRAME]).astype(int)] = np.nan_to_num(rows, posinf=0, neginf=0)
    return FaceTrack(
        timestamps=timestamps,
        success=full[:, _SUCCESS] == 1,
        confidence=full[:, _CONFIDENCE],
        landmarks=full[:, _XY].reshape(-1, 2, NUM_LANDMARKS).swapaxes(1, 2),
        action_units=(full[:, _AUS] >= 0.5).astype(np.float64),
        pose=full[:, _REST] if full.shape[1] > len(_COLUMNS) else None,
    )


def _read_rows(path: Path) -> Float[np.ndarray, "rows columns"]:
    """The columns we use as numbers (NaN where they are none); every row has a frame and a time."""
    try:
        table = files.read_table(
            path, skipinitialspace=True, na_values=_NOT_NUMBERS, encoding_errors="replace",
            low_memory=False, index_col=False, on_bad_lines="skip",
        )  # fmt: skip
    except ValueError as error:
        raise FaceError(f"{path}: not an OpenFace CSV ({error}); run OpenFace again") from None
    table.columns = table.columns.str.strip()
    _check_columns(path, set(table.columns))
    for name in table.columns.difference(table.select_dtypes("number").columns):
        table[name] = pd.to_numeric(table[name].astype(str), errors="coerce")  # 400 digits: inf
    columns = [*_COLUMNS, *(_POSE if {*_POSE} <= {*table.columns} else [])]
    rows = table.reindex(columns=columns, fill_value=0).to_numpy(np.float64)  # 1.x: no face_id
    rows = rows[np.isfinite(rows[:, [_FRAME, _TIME]]).all(axis=1)]
    if not rows.size:
        raise FaceError(f"{path}: holds no frames; the video may be unreadable")
    return rows


def _check_columns(path: Path, present: set[str]) -> None:
    for kind, names, flag in (
        ("frame and success", ["frame", "timestamp", "confidence", "success"], ""),
        ("landmark", _POINTS, " -2Dfp"),
        ("action unit", _DETECTIONS, " -aus"),
    ):
        if missing := [name for name in names if name not in present]:
            remedy = f"run FeatureExtraction{flag} again"
            raise FaceError(f"{path}: {kind} columns missing ({missing[0]}, ...); {remedy}")


def _main_face(rows: Float[np.ndarray, "rows columns"]) -> Float[np.ndarray, "frames columns"]:
    """Of the face with most tracked, then most confident frames: one row a frame, in order."""
    tracked, confidence = rows[:, _SUCCESS] == 1, np.nan_to_num(rows[:, _CONFIDENCE])
    _, face = np.unique(rows[:, _FACE], return_inverse=True)
    best = np.lexsort((np.bincount(face, confidence), np.bincount(face, tracked)))[-1]
    order = np.lexsort((confidence, tracked, rows[:, _FRAME]))
    rows = rows[order[face[order] == best]]
    return rows[np.append(np.diff(rows[:, _FRAME]) > 0, True)]


def write(path: str | Path, track: FaceTrack) -> None:
    """Writes `track` as OpenFace 2.2 does with `-2Dfp -aus`; appears whole or not at all.

    Pose is written where the track has one; of intensities (`AUxx_r`) it has none: nan.
    """
    size = len(track.timestamps)
    points = track.landmarks.transpose(2, 1, 0).reshape(2 * NUM_LANDMARKS, size)
    pose = [] if track.pose is None else zip(_POSE, track.pose.T, strict=True)
    columns = {
        "frame": (np.arange(1, size + 1), "%d"),
        "face_id": (np.zeros(size), "%d"),
        "timestamp": (track.timestamps, "%.3f"),
        "confidence": (track.confidence, "%.2f"),
        "success": (track.success, "%d"),
        **{name: (values, "%.3f") for name, values in pose},
        **dict(zip(_POINTS, ((p, "%.1f") for p in points), strict=True)),
        **{name: (np.full(size, np.nan), "%.2f") for name in _INTENSITIES},
        **dict(zip(_DETECTIONS, ((au, "%.2f") for au in track.action_units.T), strict=True)),
    }
    values, formats = zip(*columns.values(), strict=True)
    table, header = np.column_stack(values), ",".join(columns)
    files.write_atomically(
        Path(path), lambda file: np.savetxt(file, table, formats, ",", header=header, comments="")
    )


def run(
    video: str | Path,
    out_dir: str | Path,
    program: str | Path | None = None,
    time_limit: float | None = None,
) -> Path:
    """Tracks the face through the whole of a video with OpenFace; returns `out_dir/<stem>.csv`.

    The CSV appears only when it is complete. `program` is OpenFace's FeatureExtraction; without it
    $OPENFACE_BIN, that file or its folder, or what is on PATH. It may work for `time_limit` s
    (default: a minute and ten times the video), on one core, so that many can run side by side.

    Raises:
        FaceError: no such program, or it failed, took too long, could not read the video (it then
            ends well but writes nothing) or left its CSV incomplete.
    """
    video, out_dir = Path(video), Path(out_dir)
    seconds = _length(video)
    out_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out_dir, prefix=".openface-") as directory:
        link = Path(directory, f"face{video.suffix}")  # OpenFace sees a plain name
        link.symlink_to(video.resolve())
        command = [_find_program(program), "-f", link, "-out_dir", directory]
        command += ["-2Dfp", "-aus", "-pose"]
        _execute(video, command, time_limit or 60 + 10 * seconds)
        csv = link.with_suffix(".csv")
        if not csv.is_file():
            raise FaceError(f"{video}: OpenFace wrote no CSV, it could not read the video")
        tracked = float(read(csv).timestamps[-1])
        if tracked < 0.9 * seconds - 0.5:
            raise FaceError(f"{video}: OpenFace stopped after {tracked:.1f} s of {seconds:.1f} s")
        return csv.replace(out_dir / f"{video.stem}.csv")


def stop() -> None:
    """Ends the programs that `run` is waiting for in other threads; each `run` then raises."""
    for process in [*_running]:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def _length(path: Path) -> float:
    try:
        seconds = media.video_length(path)
    except media.UNREADABLE as error:
        raise FaceError(f"{path}: not readable as a video ({error.strerror})") from None
    if seconds is None:
        raise FaceError(f"{path}: no video stream")
    return seconds


def _find_program(program: str | Path | None) -> str:
    wanted = Path(program or os.environ.get("OPENFACE_BIN") or "FeatureExtraction")
    found = shutil.which(str(wanted / "FeatureExtraction" if wanted.is_dir() else wanted))
    if found is None:
        raise FaceError(f"{wanted} is no program: set OPENFACE_BIN to OpenFace's FeatureExtraction")
    return found


def _execute(video: Path, command: list, time_limit: float) -> None:
    """Runs `command` in a process group of its own, which is ended when it takes too long."""
    one_core = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env={**os.environ, **one_core}, start_new_session=True,
        )  # fmt: skip
        _running.add(process)
        try:
            code = process.wait(time_limit)
        except subprocess.TimeoutExpired:
            raise FaceError(f"{video}: OpenFace took more than {time_limit:.0f} s") from None
        finally:
            _running.discard(process)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        log.seek(0)
        said = log.read().decode(errors="replace").strip().splitlines() or ["no message"]
    if code:
        raise FaceError(f"{video}: OpenFace failed with exit code {code} ({said[-1].strip()})")
