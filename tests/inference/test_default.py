"""The model in the package."""

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest

import sersl_jax
from sersl_jax.inference.load import DEFAULT
from tests.trained_run import babble, write_wav

SHA256 = "f222b1cec538fc391f5a49946785f72634f962d941b0cfadda7ec25bda2bc5f2"
EXPECTED = (
    (0.349, 0.038, 0.097, 0.469, 0.026, 0.022),
    (0.096, 0.022, 0.05, 0.277, 0.51, 0.045),
    (0.092, 0.079, 0.587, 0.128, 0.019, 0.095),
    (0.201, 0.022, 0.134, 0.478, 0.119, 0.045),
    (0.18, 0.033, 0.101, 0.592, 0.061, 0.033),
    (0.03, 0.127, 0.699, 0.054, 0.015, 0.075),
    (0.804, 0.026, 0.02, 0.113, 0.021, 0.016),
    (0.302, 0.093, 0.184, 0.346, 0.027, 0.047),
    (0.02, 0.018, 0.816, 0.047, 0.016, 0.083),
    (0.161, 0.145, 0.52, 0.071, 0.026, 0.078),
)  # of made-up voices, per class


@pytest.fixture(scope="module")
def recognizer():
    return sersl_jax.load()


def test_it_is_the_model_of_the_card():
    assert hashlib.sha256((DEFAULT / "model.safetensors").read_bytes()).hexdigest() == SHA256
    assert sum(path.stat().st_size for path in DEFAULT.iterdir()) < 8 * 2**20


def test_it_says_of_made_up_voices_what_it_said_when_it_was_made(recognizer):
    assert recognizer.labels == ("anger", "disgust", "fear", "happiness", "neutral", "sadness")
    found = recognizer.predict_all([babble(1.5, seed) for seed in range(10)], 16_000)
    values = [list(one.probabilities.values()) for one in found]
    np.testing.assert_allclose(values, EXPECTED, atol=0.02)


def test_it_knows_which_speakers_it_has_heard():
    config = json.loads((DEFAULT / "config.json").read_text())
    heard = {name for sides in config["training"]["speakers"] for name in sides["train"]}
    assert len(heard) == 91


def test_predict_takes_it_without_a_run_and_says_what_it_knows(tmp_path):
    clip = write_wav(tmp_path / "clip.wav", babble(1.5))
    command = [sys.executable, "-m", "sersl_jax.predict", str(clip), "--format=json"]
    done = subprocess.run(
        command, cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (answer,) = json.loads(done.stdout)
    assert list(answer["probabilities"]) == list(sersl_jax.load().labels)
    assert "six acted emotions of English speakers" in done.stderr
