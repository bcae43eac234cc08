"""Broken inputs in short (`python -m tests.faults.fuzz` is the long run), and what it found."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

import sersl_jax
from sersl_jax.corpora import folder
from sersl_jax.evaluation import protocol, runs
from sersl_jax.features import audio, openface
from sersl_jax.training import export_folder
from tests.conftest import REPOSITORY


def test_three_hundred_broken_inputs_are_refused_or_read():
    command = [sys.executable, "-m", "tests.faults.fuzz", "--number=304"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("clip,label\nä,x\n".encode("latin-1"), "not in UTF-8"),
        ("clip,label\na,x\n".encode("utf-16"), "not in UTF-8"),
        (b"", "no CSV"),
        (b"clip,label\na,x\nb,x,y,z\n", "no CSV"),
        (b"\x00\x00", "lacks the column|no CSV"),
    ],
)
def test_a_table_that_is_none_is_named(utterances, tmp_path, content, said):
    (tmp_path / "media").symlink_to(utterances / "media")
    (tmp_path / "labels.csv").write_bytes(content)
    with pytest.raises(ValueError, match=rf"labels.csv.*({said})"):
        folder.clips(tmp_path)


def test_a_clip_with_two_labels_is_named(utterances, tmp_path):
    (tmp_path / "media").symlink_to(utterances / "media")
    (tmp_path / "labels.csv").write_text("clip,label\na,x\na.wav,x\nb,x\nb.wav,y\n")
    with pytest.raises(ValueError, match=r"labels.csv: the rows of clip b differ"):
        folder.clips(tmp_path)


def test_a_table_with_a_mark_of_its_encoding_is_read(utterances, tmp_path):
    (tmp_path / "media").symlink_to(utterances / "media")
    (tmp_path / "labels.csv").write_text("clip,label\r\nsay000_00,x\r\n", "utf-8-sig")
    assert folder.clips(tmp_path)[0].labels == {"emotion": "x"}


@pytest.mark.parametrize(
    "content",
    [b"[[]]", b'["x"]', b"[null]", b"[1.5]", b"\xff", b'[{"train": "ab", "validation": "c",'
     b' "test": "d"}]', b"[" * 100_000],
)  # fmt: skip
def test_a_splits_file_that_is_none_is_named(tmp_path, content):
    (tmp_path / "splits.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"splits.json is no splits file"):
        protocol.read_splits(tmp_path / "splits.json")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("", "holds no rows"),
        ("0,a\n", "empty cells"),
        ("0,a,x,z\n", "z: none of the classes x, y"),
        ("0,a,x,y,0.5,0.5,1,2\n0,b,x,y,1,2,3,4,5,6\n", "no CSV"),
    ],
)
def test_predictions_that_are_none_are_named(tmp_path, rows, said):
    (tmp_path / "predictions.csv").write_text(f"split,clip,label,prediction,p_x,p_y\n{rows}")
    with pytest.raises(ValueError, match=rf"predictions.csv.*{said}"):
        runs.read(tmp_path / "predictions.csv")


@pytest.fixture
def export(tmp_path) -> Path:
    """As an older one, without checksums."""
    shutil.copytree(export_folder.DEFAULT, tmp_path / "export")
    (tmp_path / "export" / "checksums.json").unlink()
    return tmp_path / "export"


def test_weights_that_are_none_are_named(export):
    (export / export_folder.MODEL).write_bytes(b"\xff" * 100)
    with pytest.raises(ValueError, match=r"model.safetensors is damaged"):
        sersl_jax.load(export)


@pytest.mark.parametrize(
    ("key", "value"), [("members", None), ("members", ["0"]), ("training", {}), ("training", [])]
)
def test_weights_of_another_network_are_named(export, key, value):
    described = json.loads((export / "config.json").read_text())
    (export / "config.json").write_text(json.dumps(described | {key: value}))
    with pytest.raises(ValueError, match=r"export: .*do not fit together"):
        sersl_jax.load(export)


def test_other_sizes_of_the_network_are_named(export):
    described = json.loads((export / "config.json").read_text())
    described["training"]["config"]["model"]["dim"] += 4
    (export / "config.json").write_text(json.dumps(described))
    with pytest.raises(ValueError, match=r"export: .*do not fit together"):
        sersl_jax.load(export)


HUGE = (
    {"dim": 2**31 - 2, "num_heads": 1}, {"num_layers": 2**31 - 1}, {"ffn_dim": 2**31 - 1},
    {"conv": {"kernels": [1000] * 1000}}, {"conv": {"stride": 2**31 - 1}},
    {"input_projection": False}, {"wav2vec2": {"conv_widths": [2**31 - 1] * 7}},
)  # fmt: skip


@pytest.mark.parametrize("embed", ["llds", "conv", "waveform"])
@pytest.mark.parametrize("context", ["paper", "base"])
def test_absurd_networks_are_refused_soon(export, embed, context):
    sersl_jax.load(export)  # starts JAX
    described = json.loads((export / "config.json").read_text())
    model = described["training"]["config"]["model"] | {"embed": embed, "context": context}
    for change in HUGE:
        described["training"]["config"]["model"] = model | change
        (export / "config.json").write_text(json.dumps(described))
        started = time.monotonic()
        with pytest.raises(ValueError, match=r"export: .*do not fit together"):
            sersl_jax.load(export)
        assert time.monotonic() - started < 5


@pytest.mark.parametrize(("rows", "columns"), [(2, 1_000_000), (300_000, 2)])
def test_huge_tables_end_soon(utterances, tmp_path, rows, columns):
    line = ",".join(["1"] * (columns - 2))
    text = f"clip,label{',' * bool(line)}{line}\n" + f"a,x{',' * bool(line)}{line}\n" * (rows - 1)
    (tmp_path / "media").symlink_to(utterances / "media")
    (tmp_path / "labels.csv").write_text(text)
    started = time.monotonic()
    if columns == 2:
        assert len(folder.clips(tmp_path)) == 13
    with pytest.raises(ValueError, match=r"labels.csv"):
        openface.read(tmp_path / "labels.csv")
    assert time.monotonic() - started < 20


def test_a_header_that_promises_terabytes_is_refused(tmp_path):
    soundfile.write(tmp_path / "a.flac", np.zeros(16_000, np.float32), 16_000)
    content = bytearray((tmp_path / "a.flac").read_bytes())
    content[21] |= 0x0F  # the highest four of 36 bits: number of samples
    (tmp_path / "a.flac").write_bytes(content)
    with pytest.raises(audio.AudioError, match=r"a.flac: (truncated|not readable)"):
        audio.read(tmp_path / "a.flac")
