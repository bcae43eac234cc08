"""A page for a trained run: `python -m sersl_jax.serve --checkpoint=runs/ssl1`.

Upload a recording, record one or pick an example; see probabilities and a timeline, take them along
as CSV. Needs the extra `demo` (Gradio). Only this computer can reach the page unless `--host` says
otherwise; nothing is sent elsewhere, and uploads are deleted after an hour.
"""

import csv
import ctypes
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import flags

from sersl_jax import cli
from sersl_jax.features import audio
from sersl_jax.features.audio import SAMPLE_RATE

if TYPE_CHECKING:
    import gradio

    from sersl_jax.inference.recognizer import Prediction, Recognizer

_HOUR = 3600  # s
_MOST_EXAMPLES = 12
_SESSIONS = 32  # whose last results Gradio keeps in memory
_M_ARENA_MAX = -8  # malloc.h
_SCOPES = {
    "speaker": "It was trained with all clips of a speaker normalised together; here a recording "
    "is normalised by itself, as if it were all of its speaker's. ",
    "utterance": "Each sound, and each window, is normalised by itself. ",
}


def define_flags() -> None:
    """The flags of the command."""
    flags.DEFINE_string("checkpoint", None, "A run's directory [the model in the package].")
    flags.DEFINE_string("host", "127.0.0.1", "Address; 0.0.0.0 lets others reach the page.")
    flags.DEFINE_integer("port", 7860, "Port.", 1, 65535)
    flags.DEFINE_float("max_seconds", 600.0, "Longest recording that is taken.", 1.0, 86_400.0)
    flags.DEFINE_integer("max_megabytes", 50, "Largest upload that is taken.")
    flags.DEFINE_string("examples", None, "Folder of example recordings [made-up voices].")


def main(argv: Sequence[str]) -> None:
    """Loads the run and serves until interrupted."""
    del argv
    chosen = flags.FLAGS
    if ":" in chosen.host:  # Gradio writes it into an address without brackets
        raise ValueError(f"--host={chosen.host}: take a name or an IPv4 address")
    _import_gradio()  # before the run is read, to tell at once that it's missing
    _share_one_heap()

    from sersl_jax import sharding
    from sersl_jax.inference import ensemble
    from sersl_jax.inference.load import load

    sharding.use_cores(ensemble.MAX_ROWS)
    recognizer = load(chosen.checkpoint)
    recognizer.timeline(np.zeros(2 * SAMPLE_RATE, np.float32), SAMPLE_RATE)  # compiles
    with tempfile.TemporaryDirectory() as folder:
        examples = (
            list_examples(Path(chosen.examples)) if chosen.examples else made_up(Path(folder))
        )
        page = create_page(Analysis(recognizer, chosen.max_seconds, Path(folder)), examples)
        launch(page, examples, chosen.host, chosen.port, chosen.max_megabytes)


def launch(
    page: "gradio.Blocks",
    examples: dict[str, Path],
    host: str,
    port: int | None,
    megabytes: int,
    wait: bool = True,
) -> str:
    """Serves the page, until interrupted or (without `wait`) closed; returns its address.

    A port of None takes the first free one from 7860 on.
    """
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    own = Middleware(TrustedHostMiddleware, allowed_hosts=_names(host), www_redirect=False)
    _, url, _ = page.queue(max_size=16).launch(
        server_name=host,
        server_port=port,
        max_file_size=f"{megabytes}mb",
        state_session_capacity=_SESSIONS,
        allowed_paths=[str(path) for path in examples.values()],
        footer_links=["api"],
        share=False,
        ssr_mode=False,
        show_error=True,
        app_kwargs={"middleware": [own]},
        prevent_thread_lock=not wait,
    )
    return url


def _share_one_heap() -> None:
    """Lets all threads share one heap.

    glibc gives each of Gradio's threads its own, and keeps in all of them what a picture and a
    forward pass took: memory grew by 2 MB a recording.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
        if mallopt is not None:
            mallopt(_M_ARENA_MAX, 1)


def _names(host: str) -> list[str]:
    """The names (header `Host`) that a page at this address answers to.

    A page for this computer alone answers to none but its own: otherwise another site could have
    its name stand for this address, and a browser would let that site read the page (DNS
    rebinding).
    """
    alone = host.startswith("127.") or host == "localhost"
    return ["localhost", "127.0.0.1", host] if alone else ["*"]


def create_page(analysis: "Analysis", examples: dict[str, Path]) -> "gradio.Blocks":
    """The page; `examples` maps what is shown to recordings."""
    gradio = _import_gradio()

    def analyse(path: str | None) -> tuple[Any, ...]:
        try:
            return analysis(path)
        except (ValueError, OSError) as error:
            raise gradio.Error(str(error), duration=None, print_exception=False) from None

    title = "Speech emotion recognition"
    with gradio.Blocks(title=title, analytics_enabled=False, delete_cache=(60, _HOUR)) as page:
        gradio.Markdown(f"# {title}\n\n{analysis.description}")
        with gradio.Row():
            with gradio.Column():
                sound = gradio.Audio(
                    label="Recording", sources=["upload", "microphone"], type="filepath",
                    buttons=["download"],
                )  # fmt: skip
                move = sound.async_move_resource_to_block_cache
                sound.async_move_resource_to_block_cache = _refusing_addresses(move)
                button = gradio.Button("Recognise", variant="primary")
                gradio.Examples(
                    [[str(path)] for path in examples.values()], sound, label="Examples",
                    example_labels=list(examples), cache_examples=False,
                )  # fmt: skip
            with gradio.Column():
                label = gradio.Label(label="Emotion")
                notes = gradio.Markdown()
        plot = gradio.Plot(show_label=False)
        table = gradio.DownloadButton("Download as CSV", interactive=False)
        outputs = [label, notes, plot, table]
        button.click(analyse, sound, outputs, concurrency_limit=1, api_name="recognise")
    return page


def _refusing_addresses(move: Callable) -> Callable:
    """Gradio would fetch what lies at a web address that is given in an upload's place."""

    async def moved(path: str | Path | None) -> str | None:
        if "://" in str(path):
            raise ValueError("an address is no upload")
        return await move(path)

    return moved


@dataclass(frozen=True)
class Analysis:
    """What the page shows of a recording of at most `max_seconds`; CSVs go to `folder`."""

    recognizer: "Recognizer"
    max_seconds: float
    folder: Path

    @property
    def description(self) -> str:
        """For the head of the page."""
        name, members = self.recognizer.ensemble.config.name, len(self.recognizer.ensemble.names)
        scales = [f"{n} ({a:g} to {b:g})" for n, (a, b) in self.recognizer.attributes.items()]
        return (
            f"Model `{name}`, the mean over {members} members: "
            f"{', '.join((*self.recognizer.labels, *scales))}. "
            f"{_SCOPES.get(self.recognizer.scope, '')}"
            f"Recordings of up to {self.max_seconds:.0f} s; "
            "they stay on the computer that runs this page and are deleted after an hour."
        )

    def __call__(self, path: str | None) -> tuple[Any, ...]:
        """Probabilities, notes, a picture, and the download button's new state.

        Raises ValueError or OSError for what is no usable recording, without the folder's name.
        """
        if path is None:
            raise ValueError("Upload or record something first.")
        gradio = _import_gradio()
        from sersl_jax.inference.drawing import draw

        try:
            waveform = audio.read(path, 0.0, self.max_seconds + 1.0)
        except (ValueError, OSError) as error:
            raise ValueError(str(error).replace(path, Path(path).name)) from None
        if len(waveform) > self.max_seconds * SAMPLE_RATE:
            raise ValueError(f"The recording is longer than {self.max_seconds:.0f} s: cut it.")
        by_speaker = self.recognizer.scope == "speaker"
        own = self.recognizer.speaker_normaliser([waveform], SAMPLE_RATE) if by_speaker else None
        whole = self.recognizer.predict(waveform, SAMPLE_RATE, normaliser=own)
        timeline = self.recognizer.timeline(waveform, SAMPLE_RATE, normaliser=own)
        notes = f"**Take care:** the recording is {', '.join(whole.notes)}." if whole.notes else ""
        values = (f"**{name}: {value:.2f}**\n\n" for name, value in whole.attributes.items())
        notes = "".join(values) + notes
        for older in self.folder.glob("csv*"):
            if older.stat().st_mtime < time.time() - _HOUR:
                shutil.rmtree(older, ignore_errors=True)
        target = Path(tempfile.mkdtemp(dir=self.folder, prefix="csv"), f"{Path(path).stem}.csv")
        _write_csv(target, timeline)
        table = gradio.DownloadButton(value=str(target), interactive=True)
        return whole.probabilities or None, notes, draw(waveform, timeline), table


def list_examples(folder: Path) -> dict[str, Path]:
    """The recordings in `folder`. Raises ValueError where there are none."""
    from sersl_jax.corpora.folder import SUFFIXES

    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise ValueError(f"--examples={folder} holds no sound or video")
    return {path.stem: path.absolute() for path in paths[:_MOST_EXAMPLES]}


def made_up(folder: Path) -> dict[str, Path]:
    """Babble of a made-up voice, as in the embedded corpus, one recording an emotion."""
    from sersl_jax.corpora import synthetic

    root = synthetic.write_speech(folder / "voices", num_speakers=1, clips_per_speaker=6)
    paths = sorted((root / "media").glob("*.wav"))
    return {f"made-up {name}": p for name, p in zip(synthetic.CLASSES, paths, strict=True)}


def _write_csv(target: Path, timeline: "Sequence[Prediction]") -> None:
    with target.open("w", newline="") as file:
        writer = csv.writer(file)
        names = [f"p_{label}" for label in timeline[0].probabilities]
        writer.writerow(["start", "end", "label", *names, *timeline[0].attributes])
        for found in timeline:
            values = (*found.probabilities.values(), *found.attributes.values())
            writer.writerow([found.start, found.end, found.label, *values])


def _import_gradio() -> Any:
    """Gradio, with all it would report home turned off. Raises ValueError without it."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        import gradio
    except ImportError:
        raise ValueError("the page needs Gradio: pip install 'sersl_jax[demo]'") from None
    return gradio


if __name__ == "__main__":
    cli.run(main, define_flags)
