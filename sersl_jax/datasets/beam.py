"""Preparation under Apache Beam (extra `[beam]`): clips are measured, then shards are written.

All workers must see `data_dir` (its cache of measured clips is how the two steps meet) and the
corpus under the same paths.
"""

import shlex
from collections.abc import Sequence
from typing import Any

from sersl_jax.corpora import Clip
from sersl_jax.datasets.builder import Map, Measure
from sersl_jax.datasets.measure import Measured


def beam_map(runner: str, options: str) -> Map:
    """A `map_clips`: Beam's workers measure into the cache, then the clips are read from it."""

    def run(function: Measure, clips: Sequence[Clip]) -> list[Measured]:
        import apache_beam as beam

        with beam.Pipeline(runner=runner, options=pipeline_options(options)) as pipeline:
            _ = pipeline | beam.Create(clips) | beam.Reshuffle() | beam.Map(function)
        return [function(clip) for clip in clips]

    return run


def pipeline_options(options: str) -> Any:
    """Beam's options from a command line such as "--direct_num_workers=2"."""
    try:
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError:
        raise ValueError("--beam_runner needs Apache Beam: pip install 'sersl_jax[beam]'") from None
    return PipelineOptions(shlex.split(options))
