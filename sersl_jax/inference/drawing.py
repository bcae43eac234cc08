"""A recording and what a run says of it, drawn over one axis of time (Matplotlib)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sersl_jax.features.audio import SAMPLE_RATE
from sersl_jax.inference.prediction import Prediction

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ENVELOPE = 2000  # points of the drawn waveform


def draw(waveform: np.ndarray, timeline: Sequence[Prediction]) -> "Figure":
    """Waveform, spectrogram, probabilities and attributes over one axis of time."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6), layout="constrained")
    drawn = [name for name in ("probabilities", "attributes") if getattr(timeline[0], name)]
    heights = (1, 2, *(2 for _ in drawn))
    above, middle, *rest = figure.subplots(len(heights), sharex=True, height_ratios=heights)
    size = -(-len(waveform) // _ENVELOPE)
    pieces = np.pad(waveform, (0, -len(waveform) % size)).reshape(-1, size)
    times = np.arange(len(pieces)) * size / SAMPLE_RATE
    above.fill_between(times, pieces.min(axis=1), pieces.max(axis=1), linewidth=0.5)
    above.set_ylabel("waveform")
    audible = waveform + 1e-5 * np.random.default_rng(0).standard_normal(len(waveform))
    window = min(512, len(waveform))
    sizes = {"NFFT": window, "noverlap": window // 2, "Fs": SAMPLE_RATE}
    middle.specgram(audible, **sizes, cmap="magma", vmin=-120)
    middle.set_ylabel("Hz")
    for axes, name in zip(rest, drawn, strict=True):
        (_draw_timeline if name == "probabilities" else _draw_attributes)(axes, timeline)
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    rest[-1].set(xlabel="s", xlim=(0, len(waveform) / SAMPLE_RATE))
    return figure


def _draw_timeline(axes: Any, timeline: Sequence[Prediction]) -> None:
    """Every window's probabilities, stacked, in steps around the windows' centres."""
    centres = np.array([(found.start + found.end) / 2 for found in timeline])
    between = (centres[1:] + centres[:-1]) / 2
    edges = np.concatenate([[timeline[0].start], between, [timeline[-1].end]])
    floor = np.zeros(len(timeline))
    for label in timeline[0].probabilities:
        values = np.array([found.probabilities[label] for found in timeline])
        axes.stairs(floor + values, edges, baseline=floor, fill=True, label=label, alpha=0.8)
        floor = floor + values
    axes.set(ylabel="probability", ylim=(0, 1))


def _draw_attributes(axes: Any, timeline: Sequence[Prediction]) -> None:
    """A curve of each attribute through the windows' centres."""
    centres = [(found.start + found.end) / 2 for found in timeline]
    for name in timeline[0].attributes:
        axes.plot(centres, [found.attributes[name] for found in timeline], ".-", label=name)
    axes.set(ylabel="attribute")
