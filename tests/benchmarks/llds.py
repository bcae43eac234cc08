"""Real-time factor of reading sound and of extracting features: `python -m tests.benchmarks.llds`.

Needs CREMA-D (`SERSL_SHARED_DATA`, or ../shared/data); makes noise of its own without it.
"""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from sersl_jax.features import audio, llds

NUM_CLIPS = 300


def main() -> None:
    default = Path(__file__).parents[3] / "shared" / "data"
    clips = Path(os.environ.get("SERSL_SHARED_DATA", default)) / "crema_d" / "AudioOpus"
    paths = sorted(clips.glob("*.opus"))[:: 7442 // NUM_CLIPS][:NUM_CLIPS]
    if paths:
        start = time.process_time()
        waveforms = [audio.read(path) for path in paths]
        _report("audio.read (opus)", waveforms, time.process_time() - start, "per core")
    else:
        rng = np.random.default_rng(0)
        waveforms = list(rng.normal(scale=0.1, size=(NUM_CLIPS, 40_000)).astype(np.float32))
    llds.extract(waveforms[0])  # configures openSMILE
    start = time.process_time()
    for waveform in waveforms:
        llds.extract(waveform)
    _report("llds.extract", waveforms, time.process_time() - start, "per core")
    start = time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(llds.extract, waveforms))
    threads = f"wall clock, {os.cpu_count()} threads"
    _report("llds.extract", waveforms, time.perf_counter() - start, threads)


def _report(what: str, waveforms: list[np.ndarray], seconds: float, unit: str) -> None:
    length = sum(waveform.size for waveform in waveforms) / audio.SAMPLE_RATE
    print(f"{what}: {length / seconds:.0f}x real time ({unit}; {length:.0f} s of sound)")


if __name__ == "__main__":
    main()
