"""Draws way.svg: a made-up clip on its way to its labels, and a prediction over time.

python docs/images/way.py RUN      (RUN: a trained run, such as the tutorial's)
"""

import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

import sersl_jax
from sersl_jax.corpora import Clip, synthetic, synthetic_voice
from sersl_jax.datasets import preparation
from sersl_jax.datasets.dataset import Dataset, read_dataset
from sersl_jax.features import audio, openface
from sersl_jax.pretext.landmarks import REGIONS

HOP, WINDOW = 1.5, 2.0  # s
HIGH, LOW, GREY = "#f2a65a", "#e8e8e8", "#8a8a8a"
TASKS = {
    "energy": "energy",
    "upper_face": "upper face",
    "lower_face": "lower face",
    "action_units": "action units",
}
SPOKEN = ("anger", "happiness", "sadness")


def main(run: str) -> None:
    """Writes way.svg beside this file."""
    plt.rcParams.update({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False})
    figure = plt.figure(figsize=(10, 5.4), facecolor="white")
    left, right = figure.add_gridspec(1, 2, width_ratios=(1.25, 1), wspace=0.3)
    rows = [figure.add_subplot(cell) for cell in left.subgridspec(5, 1, hspace=0.35)]
    with tempfile.TemporaryDirectory() as folder:
        draw_clip(rows, *prepared(Path(folder)))
    top, bottom = right.subgridspec(2, 1, height_ratios=(1, 1.5), hspace=0.25)
    draw_network(figure.add_subplot(top))
    draw_timeline([figure.add_subplot(c) for c in bottom.subgridspec(2, 1, hspace=0.1)], run)
    plt.rcParams["svg.hashsalt"] = "way"  # the same picture is the same file
    figure.savefig(
        Path(__file__).with_name("way.svg"), bbox_inches="tight", metadata={"Date": None}
    )


def prepared(folder: Path) -> tuple[Clip, Dataset]:
    """The first clip of a small made-up corpus, and the corpus's dataset."""
    corpus = synthetic.write_pretext(folder / "corpus", 8, 2)
    preparation.prepare("pretext/folder", corpus, folder)
    return synthetic.clips(corpus)[0], read_dataset("pretext/folder", str(folder), "llds")


def draw_clip(axes: list[Axes], clip: Clip, dataset: Dataset) -> None:
    """Sound, energy, landmarks, action units and labels, one below the other."""
    waveform, track = audio.read(clip.media), openface.read(clip.face)
    mine = np.flatnonzero(dataset.examples["clip"] == clip.id)
    starts = HOP * np.arange(len(mine))
    seconds = len(waveform) / audio.SAMPLE_RATE
    axes[0].set_title("A clip makes its own labels", loc="left", fontweight="bold")
    draw_waveform(axes[0], waveform)
    loudness = np.sqrt(np.mean(waveform[: len(waveform) // 400 * 400].reshape(-1, 400) ** 2, 1))
    axes[1].fill_between(np.arange(len(loudness)) * 0.025, loudness, color="tab:blue", alpha=0.5)
    axes[1].axhline(dataset.metadata["thresholds"]["energy"], color="0.3", ls="--", lw=0.8)
    axes[1].set_ylabel("energy")
    for region, color in (("upper_face", "tab:green"), ("lower_face", "tab:red")):
        points = track.landmarks[:, REGIONS[region]].mean(axis=1)
        points[~track.success] = np.nan
        height = np.nanmean(points[:, 1]) - points[:, 1]
        axes[2].plot(track.timestamps, height, color=color, lw=0.9, label=TASKS[region])
    axes[2].legend(loc=(0.5, 0.9), ncols=2, frameon=False, fontsize=7, borderpad=0)
    axes[2].set_ylabel("face moves")
    axes[3].imshow(
        track.action_units.T, aspect="auto", cmap="Greys", interpolation="nearest",
        extent=(track.timestamps[0], track.timestamps[-1], len(openface.AU_NAMES), 0),
    )  # fmt: skip
    axes[3].set_ylabel("action\nunits")
    draw_labels(axes[4], dataset, mine, starts)
    for ax in axes:
        ax.set_xlim(0, seconds)
        ax.set_yticks([])
        ax.set_xticks(np.arange(0, seconds, 2) if ax is axes[4] else [])
    axes[4].set_yticks(np.arange(len(TASKS)) + 0.5, TASKS.values())
    axes[4].set_xlabel("s")


def draw_waveform(ax: Axes, waveform: np.ndarray, bins: int = 400) -> None:
    """The envelope: the least and the greatest sample of each of `bins`."""
    parts = np.array_split(waveform, bins)
    time = np.linspace(0, len(waveform) / audio.SAMPLE_RATE, bins)
    low, high = [p.min() for p in parts], [p.max() for p in parts]
    ax.fill_between(time, low, high, color=GREY, lw=0)
    ax.set_ylabel("sound")


def draw_labels(ax: Axes, dataset: Dataset, mine: np.ndarray, starts: np.ndarray) -> None:
    """A row a task, a cell a window."""
    for row, task in enumerate(TASKS):
        for start, number in zip(starts, dataset.labels[task][mine], strict=True):
            name = dataset.label_names[task][number]
            color = LOW if name in ("low", "other") else HIGH
            ax.broken_barh([(start + 0.02, HOP - 0.04)], (row + 0.06, 0.88), color=color)
            ax.text(start + HOP / 2, row + 0.5, name, ha="center", va="center", fontsize=6.5)
    ax.set_ylim(len(TASKS), 0)


def draw_network(ax: Axes) -> None:
    """The network, pre-trained and fine-tuned."""
    ax.set_title("A network learns them from the sound", loc="left", fontweight="bold")
    ax.set_axis_off()
    ax.set(xlim=(0, 10), ylim=(0, 4.2))

    def put(x: float, y: float, width: float, text: str, color: str) -> None:
        style = {"boxstyle": "round,pad=0", "fc": color, "ec": "0.4"}
        ax.add_patch(FancyBboxPatch((x, y), width, 1.5, **style))
        ax.text(x + width / 2, y + 0.75, text, ha="center", va="center", fontsize=7)

    put(0.02, 1.35, 2.4, "sound:\n130 features\nevery 16 ms", "white")
    put(3.1, 1.35, 2.8, "transformer,\n5 + 5 layers,\nmean in time", "#dbe9f6")
    put(6.6, 2.5, 3.38, "pre-training:\nlabels on the left", HIGH)
    put(6.6, 0.2, 3.38, "fine-tuning:\nemotions", "#bfe3c0")
    for start, end in (
        ((2.3, 2.1), (3.1, 2.1)),
        ((5.8, 2.3), (6.7, 3.0)),
        ((5.8, 1.9), (6.7, 1.2)),
    ):
        arrow = {"arrowstyle": "-|>", "color": "0.3", "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", end, start, arrowprops=arrow)


def draw_timeline(axes: list[Axes], run: str) -> None:
    """A made-up voice in three emotions, and the probabilities of each window."""
    random = np.random.default_rng(5)
    voice = synthetic_voice.Voice.draw(random)
    parts = [
        synthetic_voice.babble(voice, synthetic_voice.MANNERS[name], 4.0, 0.0, random)
        for name in SPOKEN
    ]
    talk = np.concatenate(parts)
    found = sersl_jax.load(run).timeline(talk, audio.SAMPLE_RATE, hop=0.25)
    axes[0].set_title("Fine-tuned: a timeline", loc="left", fontweight="bold", pad=14)
    draw_waveform(axes[0], talk)
    for number, name in enumerate(SPOKEN):
        axes[0].text(4 * number + 2, 1.1 * talk.max(), name, ha="center", color="0.3")
    middle = [(window.start + window.end) / 2 for window in found]
    for label in found[0].probabilities:
        axes[1].plot(middle, [window.probabilities[label] for window in found], label=label, lw=1.2)
    axes[1].legend(ncols=6, frameon=False, fontsize=6, loc=(-0.12, -0.62), columnspacing=1)
    axes[1].set(ylabel="probability", xlabel="s", ylim=(0, 1), yticks=(0, 0.5, 1))
    axes[0].set(xticks=[], yticks=[], xlim=(0, 12))
    axes[1].set(xlim=(0, 12))


if __name__ == "__main__":
    main(sys.argv[1])
