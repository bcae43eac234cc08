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

SHA256 = "810deec857c50cabb3f475c0483fe6185713b1a8a6bf1dda5d7f74e2806dd565"
EXPECTED = (
    (0.165, 0.019, 0.331, 0.470, 0.005, 0.009),
    (0.140, 0.010, 0.036, 0.226, 0.557, 0.030),
    (0.291, 0.279, 0.223, 0.117, 0.018, 0.071),
    (0.387, 0.035, 0.047, 0.396, 0.102, 0.032),
    (0.390, 0.037, 0.130, 0.337, 0.068, 0.038),
    (0.016, 0.091, 0.828, 0.033, 0.000, 0.032),
    (0.802, 0.060, 0.021, 0.097, 0.010, 0.010),
    (0.086, 0.020, 0.625, 0.229, 0.012, 0.027),
    (0.003, 0.007, 0.914, 0.022, 0.001, 0.053),
    (0.243, 0.200, 0.505, 0.022, 0.001, 0.029),
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
