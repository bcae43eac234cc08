"""What preparing a corpus would find and make, from names and headers alone."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import soundfile

from sersl_jax.corpora import NUMBERS, Clip
from sersl_jax.datasets.options import PretextOptions, SpeechOptions
from sersl_jax.features import audio, llds, media, segments

_NAMED = 5  # missing clips


def survey(clips: Sequence[Clip], options: SpeechOptions) -> str:
    """Lines for the terminal: what is there, what is missing, expected examples and bytes."""
    lengths = [_seconds(clip) for clip in clips]
    known = [seconds for seconds in lengths if seconds is not None]
    examples, frames, samples = _expected(known, options)
    bytes_ = 4 * llds.NUM_LLDS * frames
    bytes_ += 2 * samples if "waveform" in options.features else 0
    absent = sum(not clip.media.is_file() for clip in clips)
    lines = [
        f"{len(clips)} clips of {len({clip.speaker_id for clip in clips})} speakers; media: "
        f"{absent} missing, {len(clips) - absent - _readable(clips, lengths)} unreadable",
        f"{sum(known) / 3600:.2f} h, {examples} examples, about {bytes_ / 1e9:.3g} GB"
        + (" (with the missing clips whose length is known)" if absent else ""),
    ]
    if isinstance(options, PretextOptions):
        faces = sum(clip.face is not None and clip.face.is_file() for clip in clips)
        lines.append(f"faces: {faces} tracked, {len(clips) - faces} missing")
    missing = [clip.id for clip in clips if not clip.media.is_file()]
    if missing:
        lines.append(f"missing: {', '.join(missing[:_NAMED])}" + ", ..." * (len(missing) > _NAMED))
    emotions = [clip.labels.get("emotion", "unknown") for clip in clips]
    if {*emotions} != {"unknown"}:
        lines.append(_counts("emotion", emotions))
    for name in ("partition", "session"):
        values = [clip.attributes.get(name, "none") for clip in clips]
        lines += [_counts(name, values)] if {*values} != {"none"} else []
    known_of = Counter(name for clip in clips for name in clip.attributes)
    lines += [f"{name}: {known_of[name]} known" for name in NUMBERS if known_of[name]]
    rated = Counter(kind for clip in clips for kind, votes in clip.votes.items() if any(votes))
    lines += [f"{kind} votes: {number} known" for kind, number in rated.items()]
    return "\n".join(lines)


def _counts(name: str, values: Sequence[str]) -> str:
    return f"{name}: {dict(sorted(Counter(values).items()))}"


def _expected(lengths: list[float], options: SpeechOptions) -> tuple[int, int, int]:
    """Examples, frames and samples that clips of these lengths (s) give."""
    if isinstance(options, PretextOptions):
        windows = sum(len(segments.windows(s, options.window, options.hop)) for s in lengths)
        size = round(options.window * audio.SAMPLE_RATE)
        return windows, windows * llds.num_frames(size), windows * size
    sizes = [round(seconds * audio.SAMPLE_RATE) for seconds in lengths]
    frames = [llds.num_frames(size) for size in sizes]
    return sum(map(bool, frames)), sum(frames), sum(sizes)


def _readable(clips: Sequence[Clip], lengths: Sequence[float | None]) -> int:
    return sum(
        clip.media.is_file() and seconds is not None
        for clip, seconds in zip(clips, lengths, strict=True)
    )


def _seconds(clip: Clip) -> float | None:
    """Length of the clip, from its corpus or its file's header; None where neither tells."""
    if clip.end is not None:
        return clip.end - clip.start
    length = _header(clip.media)
    return None if length is None else max(length - clip.start, 0.0)


def _header(path: Path) -> float | None:
    if not path.is_file():
        return None
    try:
        return soundfile.info(path).duration
    except (soundfile.LibsndfileError, TypeError):
        try:
            with media.open_container(path) as container:
                return (container.duration or 0) / 1e6  # microseconds
        except (media.UNREADABLE, OSError):
            return None
