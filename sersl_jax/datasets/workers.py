"""Clips measured in several processes at a time."""

import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import joblib
from tqdm import tqdm

from sersl_jax.corpora import Clip
from sersl_jax.datasets.builder import Map, Measure
from sersl_jax.datasets.measure import Measured


def process_map(workers: int) -> Map:
    """A `map_clips` of that many processes, with a progress bar.

    Threads would wait for each other: openSMILE calls back into Python once a frame.
    """

    def run(function: Measure, clips: Sequence[Clip]) -> list[Measured]:
        with joblib.parallel_config("loky", initializer=_end_with, initargs=(os.getpid(),)):
            measured = joblib.Parallel(workers, return_as="generator")(
                joblib.delayed(function)(clip) for clip in clips
            )
        bar: tqdm[Any] = tqdm(
            measured, "measure", len(clips), unit="clip", disable=None, smoothing=0.05
        )
        try:
            return list(bar)
        except BrokenProcessPool:
            raise ValueError(
                "a process that measured clips died, of memory or of a broken file: "
                "the same command goes on, with --workers=1 one clip at a time"
            ) from None

    return run


def _end_with(parent: int) -> None:
    """Ends this worker when the process that started it is gone; joblib's wait for minutes."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
