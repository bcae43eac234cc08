"""How fast `prepare` is, stage by stage, and its memory: python tests/benchmarks/prepare.py.

Makes talking faces (no real data needed) and reports real-time factors: seconds of sound per
second. Options: number of speakers (10 clips each, default 10), and `--source` and `--dataset` for
a corpus of your own. `--flat` prepares two sizes, in processes of their own, and compares their
memory. `--json=FILE` writes the speed of the whole and stops there.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sersl_jax.corpora import Clip, synthetic
from sersl_jax.datasets import measure, measure_face, scores, source
from sersl_jax.datasets.options import PretextOptions, SpeechOptions
from sersl_jax.datasets.preparation import prepare
from sersl_jax.features import audio, llds, segments
from sersl_jax.pretext import energy, registry


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--speakers", type=int, default=10)
    parser.add_argument("--dataset", default="pretext/folder")
    parser.add_argument("--source", type=Path)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--flat", action="store_true")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        if arguments.flat:
            return compare_memory()
        corpus = arguments.source or synthetic.write_pretext(
            root / "corpus", arguments.speakers, clips_per_speaker=10
        )
        factor = report_whole(arguments.dataset, corpus, root / "data", arguments.workers)
        if arguments.json:
            name = f"prepare {arguments.dataset}, {10 * arguments.speakers} clips, x real time"
            arguments.json.write_text(json.dumps({name: factor}))
            return None
        kind, name = arguments.dataset.split("/")
        options = PretextOptions() if kind == "pretext" else SpeechOptions()
        report_stages(source.read_clips(kind, name, corpus, root, options, 40), options)


def report_whole(dataset: str, corpus: Path, data_dir: Path, workers: int | None) -> float:
    """First and second run of the same command; gives the first one's real-time factor."""
    start = time.perf_counter()
    builder = prepare(dataset, corpus, data_dir, workers=workers)
    first = time.perf_counter() - start
    start = time.perf_counter()
    prepare(dataset, corpus, data_dir)
    second = time.perf_counter() - start
    seconds = (builder.info.metadata or {})["seconds"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{dataset}: {seconds / 3600:.2f} h in {first:.1f} s, {seconds / first:.0f}x real time; "
        f"again {second:.2f} s; peak memory {peak:.0f} MB"
    )
    return seconds / first


def report_stages(clips: list[Clip], options: SpeechOptions) -> None:
    """One thread, CPU seconds: what each stage costs on the first clips."""
    llds.extract(audio.read(clips[0].media))  # openSMILE configures itself once a thread
    spent = dict.fromkeys(("hash", "decode", "llds", "energy", "face"), 0.0)
    total = 0.0
    for clip in clips:
        for stage, seconds in measure_stages(clip, options):
            spent[stage] += seconds
        total += audio.read(clip.media).size / audio.SAMPLE_RATE
    for stage, seconds in spent.items():
        if seconds:
            print(f"  {stage:<7}{total / seconds:>8.0f}x real time per core")


def measure_stages(clip: Clip, options: SpeechOptions):
    """Yields (stage, CPU seconds) of one clip."""
    clock = time.thread_time
    start = clock()
    measure._entry(clip, options, Path())
    yield "hash", clock() - start
    start = clock()
    waveform = audio.read(clip.media, clip.start, clip.end)
    yield "decode", clock() - start
    spans = [(0.0, waveform.size / audio.SAMPLE_RATE)]
    if isinstance(options, PretextOptions):
        spans = segments.windows(spans[0][1], options.window, options.hop)
    pieces = measure._cut(waveform, spans)
    start = clock()
    for piece in pieces:
        llds.extract(piece)
    yield "llds", clock() - start
    if not isinstance(options, PretextOptions):
        return
    start = clock()
    for piece in pieces:
        energy.rms_energy(piece)
    yield "energy", clock() - start
    start = clock()
    if clip.face:
        faces = measure_face.windows(clip, spans, waveform.size / audio.SAMPLE_RATE)[0]
        tasks = [task for task in registry.TASKS.values() if "waveform" not in task.inputs]
        scores.measure(tasks, pieces, faces, options)
    yield "face", clock() - start


def compare_memory() -> None:
    """Peak memory of one and of ten times as many clips."""
    for speakers in (10, 100):
        command = [sys.executable, __file__, f"--speakers={speakers}"]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        print(f"{10 * speakers} clips:", output.splitlines()[0])


if __name__ == "__main__":
    main()
