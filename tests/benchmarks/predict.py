"""Speed of using a run: `python -m tests.benchmarks.predict [--checkpoint=runs/ssl1 --json=FILE]`.

Start to first prediction, real-time factors of decoding, LLDs and network, 1,000 clips, a long file
and its memory, and the live stream's latency. Without a run: the paper's network with random
parameters, three members. Clips are CREMA-D's (`SERSL_SHARED_DATA`, ../shared/data), or made up.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
import soundfile
from absl import app, flags

import sersl_jax
from sersl_jax import methods, sharding
from sersl_jax.features import audio
from sersl_jax.inference import ensemble
from sersl_jax.inference.recognizer import Recognizer
from tests import trained_run

_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "A run's directory.")
_CLIPS = flags.DEFINE_integer("clips", 1000, "Clips that are predicted together.")
_MINUTES = flags.DEFINE_float("minutes", 180.0, "Length of the long file; 0: none.")
_MEMBERS = flags.DEFINE_integer("members", 3, "Members, without a run.")
_JSON = flags.DEFINE_string("json", None, "Writes the figures here.")


def main(_) -> None:
    sharding.use_cores(ensemble.MAX_ROWS)
    with tempfile.TemporaryDirectory() as folder:
        run = _CHECKPOINT.value or _paper_run(Path(folder))
        clips = _find_clips(Path(folder))
        figures = _start_up(run, clips[0], folder)
        jax.config.update("jax_compilation_cache_dir", f"{folder}/xla")
        recognizer = sersl_jax.load(run)
        print(f"{len(recognizer.members)} members, {jax.devices()[0].device_kind}")
        _parts(recognizer, clips[:128])
        figures |= _many(recognizer, clips) | _live(recognizer)
        if _JSON.value:
            Path(_JSON.value).write_text(json.dumps(figures, indent=1))
        if _MINUTES.value:
            _long(run, Path(folder))


def _start_up(run: str, clip: Path, folder: str) -> dict[str, float]:
    """A new process with an empty compilation cache, then with what that one left."""
    command = [sys.executable, "-m", "sersl_jax.predict", f"--checkpoint={run}", str(clip)]
    environment = os.environ | {"XDG_CACHE_HOME": f"{folder}/start"}
    figures = {}
    for state in ("cold", "compiled before"):
        start = time.perf_counter()
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
        figures[f"first prediction, {state}, s"] = time.perf_counter() - start
        print(f"start to first prediction, {state}: {time.perf_counter() - start:.1f} s")
    return figures


def _parts(recognizer: Recognizer, clips: list[Path]) -> None:
    """CPU seconds of each part, so that other programs don't count."""
    ensemble = recognizer.ensemble
    waveforms = _timed("decoding", lambda: [audio.read(clip) for clip in clips], None)
    ensemble.features(waveforms[0])  # configures openSMILE
    features = _timed("features", lambda: [ensemble.features(w) for w in waveforms], waveforms)
    ensemble.run(features)  # compiles
    _timed("network", lambda: ensemble.run(features), waveforms)


def _timed(name, function, waveforms):
    start = time.process_time()
    found = function()
    seconds = time.process_time() - start
    length = sum(map(len, waveforms or found)) / audio.SAMPLE_RATE
    print(f"{name}: {length / seconds:.0f}x real time per core")
    return found


def _many(recognizer: Recognizer, clips: list[Path]) -> dict[str, float]:
    start = time.perf_counter()
    number = sum(1 for _ in recognizer.predict_all(clips))
    seconds = time.perf_counter() - start
    print(f"{number} clips: {seconds:.1f} s, {os.cpu_count()} cores")
    return {f"{number} clips, {len(recognizer.members)} members, s": seconds}


def _live(recognizer: Recognizer) -> dict[str, float]:
    """Chunks of 100 ms; latency is the time that the chunk which completes a window takes."""
    sound = np.concatenate([trained_run.babble(5.0, seed) for seed in range(6)])
    stream, latencies = recognizer.stream(), []
    start = time.process_time()
    for chunk in np.array_split(sound, len(sound) // 1600):
        begin = time.perf_counter()
        if stream.push(chunk):
            latencies.append(time.perf_counter() - begin)
    factor = len(sound) / audio.SAMPLE_RATE / (time.process_time() - start)
    median, worst = np.median(latencies[8:]), np.max(latencies[8:])
    print(f"stream: {1000 * median:.0f} ms median, {1000 * worst:.0f} ms worst, {factor:.1f}x")
    return {"live: chunk to prediction, ms": 1000 * float(median)}


def _long(run: str, folder: Path) -> None:
    """Peak memory of processes that predict a short and a long file."""
    for minutes in (1.0, _MINUTES.value):
        path = folder / "long.wav"
        with soundfile.SoundFile(path, "w", audio.SAMPLE_RATE, 1) as file:
            for minute in range(round(minutes)):
                sound = [
                    trained_run.babble(5.0, seed) for seed in range(minute % 7, minute % 7 + 12)
                ]
                file.write(np.concatenate(sound))
        command = [sys.executable, "-m", "sersl_jax.predict", f"--checkpoint={run}", str(path)]
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024  # the largest child
        factor = 60 * minutes / seconds
        print(f"{minutes:.0f} min: {seconds:.1f} s ({factor:.0f}x), peak {peak:.0f} MiB")


def _paper_run(folder: Path) -> str:
    """The paper's network with random parameters."""
    names = tuple(map(str, range(_MEMBERS.value)))
    return str(trained_run.write_run(folder / "paper", methods.self_supervised("ssl1"), names))


def _find_clips(folder: Path) -> list[Path]:
    default = Path(__file__).parents[3] / "shared" / "data"
    opus = Path(os.environ.get("SERSL_SHARED_DATA", default)) / "crema_d" / "AudioOpus"
    found = sorted(opus.glob("*.opus"))
    if found:
        return found[:: max(len(found) // _CLIPS.value, 1)][: _CLIPS.value]
    made = [trained_run.babble(5.0, seed)[: 24_000 + 500 * seed] for seed in range(40)]
    paths = [trained_run.write_wav(folder / f"{n}.wav", sound) for n, sound in enumerate(made)]
    return (paths * (_CLIPS.value // len(paths) + 1))[: _CLIPS.value]


if __name__ == "__main__":
    app.run(main)
