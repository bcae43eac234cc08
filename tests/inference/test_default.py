"""The model in the package."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import sersl_jax
from sersl_jax.inference.ensemble import Ensemble
from sersl_jax.inference.load import DEFAULT
from sersl_jax.inference.out_of_domain import FAR
from tests.trained_run import babble, write_wav

SHA256 = {
    "model.safetensors": "810deec857c50cabb3f475c0483fe6185713b1a8a6bf1dda5d7f74e2806dd565",
    "out_of_domain/model.safetensors": "a9aca9333be532942c3acb276ed27901"
    "b60a53a64f92ca4c0d8b4edd9742586c",
    "out_of_domain/gate.safetensors": "037cf4cf7dc26c44b30c749d49717969"
    "2e3e14a04ccdaf243ffccce4355f429d",
}
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
)  # of made-up voices, per class, by the first network
OUT_OF_DOMAIN = (
    (0.064, 0.551, 0.023, 0.124, 0.190, 0.047),
    (0.086, 0.572, 0.063, 0.167, 0.052, 0.059),
    (0.188, 0.081, 0.362, 0.313, 0.022, 0.034),
    (0.189, 0.115, 0.354, 0.174, 0.067, 0.100),
    (0.040, 0.582, 0.131, 0.160, 0.011, 0.076),
    (0.043, 0.516, 0.007, 0.335, 0.091, 0.009),
    (0.075, 0.402, 0.123, 0.146, 0.152, 0.103),
    (0.079, 0.707, 0.039, 0.133, 0.020, 0.023),
    (0.426, 0.204, 0.194, 0.141, 0.010, 0.025),
    (0.158, 0.481, 0.064, 0.199, 0.070, 0.028),
)  # by the second one, which is asked about voices like these
CREMA_D = Path(__file__).parents[3] / "shared" / "data" / "crema_d" / "AudioOpus"


@pytest.fixture(scope="module")
def recognizer():
    return sersl_jax.load()


def test_it_is_the_model_of_the_card():
    files = {name: (DEFAULT / name).read_bytes() for name in SHA256}
    assert {name: hashlib.sha256(content).hexdigest() for name, content in files.items()} == SHA256
    assert sum(path.stat().st_size for path in DEFAULT.rglob("*")) < 8 * 2**20


def test_it_says_of_made_up_voices_what_it_said_when_it_was_made(recognizer):
    assert recognizer.labels == ("anger", "disgust", "fear", "happiness", "neutral", "sadness")
    sounds = [babble(1.5, seed) for seed in range(10)]
    features = [recognizer.ensemble.features(sound) for sound in sounds]
    first = Ensemble.run(recognizer.ensemble, features)[0]
    np.testing.assert_allclose(first, EXPECTED, atol=0.02)
    found = list(recognizer.predict_all(sounds, 16_000))
    values = [list(one.probabilities.values()) for one in found]
    np.testing.assert_allclose(values, OUT_OF_DOMAIN, atol=0.02)
    assert all(FAR in one.notes for one in found)


@pytest.mark.skipif(not CREMA_D.is_dir(), reason=f"no {CREMA_D}")
def test_clips_of_its_corpus_are_its_own(recognizer):
    names = ("1001_IEO_HAP_HI", "1010_TSI_SAD_XX", "1050_ITS_ANG_XX")
    found = [recognizer.predict(CREMA_D / f"{name}.opus") for name in names]
    assert [one.notes for one in found] == [()] * 3
    assert [one.label for one in found] == ["happiness", "sadness", "anger"]


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
