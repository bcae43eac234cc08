"""A second network for recordings unlike the training's."""

import importlib.util
from dataclasses import replace

import jax.export
import numpy as np
import pandas as pd
import pytest

import sersl_jax
from sersl_jax import checksums
from sersl_jax.datasets.dataset import Dataset
from sersl_jax.features import llds
from sersl_jax.inference import exported, out_of_domain
from sersl_jax.inference.load import load
from sersl_jax.inference.recognizer import Recognizer
from tests.trained_run import MEMBERS, babble, config, trained_run, write_run

NUMBER = 3000
NEAR, FAR = babble(1.5), 0.01 * babble(1.5)[::-1].copy()


def corpus(random):
    """Clips of one frame, which scatter around the mean descriptors of NEAR."""
    x = llds.extract(NEAR).mean(axis=0)
    clips = x + (np.abs(x) * 0.05 + 1e-3) * random.normal(size=(NUMBER, 1, 130))
    speakers = [str(n % 10) for n in range(NUMBER)]
    return Dataset(
        "speech/made_up", "llds", pd.DataFrame({"speaker_id": speakers}), {}, {},
        np.ones(NUMBER, np.int32), None, {}, [{"llds": clip} for clip in clips.astype(np.float32)],
    )  # fmt: skip


SIDES = [{"train": list("012345"), "validation": list("678")}] * 2


@pytest.fixture(scope="module")
def gate():
    return out_of_domain.fit(corpus(np.random.default_rng(0)), SIDES)


@pytest.fixture(scope="module")
def gated(gate, tmp_path_factory):
    other = config()
    other.model.pooling = "last"
    path = write_run(tmp_path_factory.mktemp("other") / "run", other, MEMBERS)
    return out_of_domain.join(load(trained_run()).ensemble, load(path).ensemble, gate)


def test_the_limit_is_beyond_99_of_100_clips_of_other_speakers(gate):
    dataset = corpus(np.random.default_rng(0))
    means = np.stack([row["llds"][:, :65].mean(axis=0) for row in dataset.source])
    of_validation = np.isin(dataset.speaker_ids, list("678"))
    assert 0.002 < (gate.distances(means[of_validation]) > gate.limit).mean() < 0.015
    x = means - gate.mean
    covariance = np.cov(means[np.isin(dataset.speaker_ids, list("012345678"))].T)
    expected = np.sqrt(np.einsum("ni,ij,nj->n", x, np.linalg.inv(covariance), x))
    np.testing.assert_allclose(gate.distances(means), expected, rtol=0.1)


def test_far_sounds_are_answered_by_the_other_network_and_noted(gated):
    both, run, other = map(Recognizer, (gated, load(trained_run()).ensemble, gated.other))
    near, far = both.predict_all([NEAR, FAR], 16_000)
    assert near.notes == ()
    assert out_of_domain.FAR in far.notes
    for found, answered in ((near, run.predict(NEAR, 16_000)), (far, other.predict(FAR, 16_000))):
        assert found.probabilities == pytest.approx(answered.probabilities, abs=1e-5)
    assert far.embedding == pytest.approx(run.predict(FAR, 16_000).embedding, abs=1e-4)
    one = both.predict(FAR, 16_000, members="8").probabilities
    assert one == pytest.approx(other.predict(FAR, 16_000, members="8").probabilities, abs=1e-5)


def test_an_export_holds_both(gated, tmp_path):
    pytest.importorskip("safetensors", reason="needs the extra export")
    exported.write(gated, "safetensors", tmp_path / "out")
    loaded, expected = sersl_jax.load(tmp_path / "out"), Recognizer(gated)
    for sound in (NEAR, FAR):
        found, wanted = loaded.predict(sound, 16_000), expected.predict(sound, 16_000)
        assert found.probabilities == pytest.approx(wanted.probabilities, abs=1e-6)
        assert found.notes == wanted.notes
    again = out_of_domain.read_gate(tmp_path / "out" / "out_of_domain")
    assert again.limit == gated.gate.limit
    exported.write(load(trained_run()).ensemble, "safetensors", tmp_path / "out")
    alone = sersl_jax.load(tmp_path / "out").ensemble  # nothing of the older export is left
    assert not isinstance(alone, out_of_domain.Gated)
    if importlib.util.find_spec("flatbuffers"):
        exported.write(alone, "stablehlo", tmp_path / "out")
        assert {path.name for path in (tmp_path / "out").iterdir()} == {
            "README.md", "checksums.json", "config.json", "model.stablehlo",
        }  # fmt: skip
        checksums.check(tmp_path / "out", "export again")
    mine = tmp_path / "mine" / out_of_domain.FOLDER / "notes"  # no export's: it stays
    mine.parent.mkdir(parents=True)
    mine.touch()
    exported.write(alone, "safetensors", tmp_path / "mine")
    assert mine.exists()


def test_stablehlo_holds_both_in_one_function(gated, tmp_path):
    pytest.importorskip("flatbuffers", reason="needs the extra export")
    exported.write(gated, "stablehlo", tmp_path)
    model = jax.export.deserialize(bytearray((tmp_path / "model.stablehlo").read_bytes()))
    features = [llds.extract(sound) for sound in (NEAR, FAR)]
    inputs = np.pad(np.stack(features), ((0, 0), (0, 9), (0, 0)))
    found = model.call(inputs, np.array([len(x) for x in features], np.int32))
    expected = [
        list(p.probabilities.values()) for p in Recognizer(gated).predict_all([NEAR, FAR], 16_000)
    ]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_runs_that_do_not_go_together_are_refused_by_name(gated, gate):
    run, other = load(trained_run()).ensemble, gated.other
    with pytest.raises(ValueError, match="out-of-domain recordings differs in splits"):
        out_of_domain.join(run, other.select("3"), gate)
    info = {**other.info, "speakers": SIDES}
    with pytest.raises(ValueError, match="out-of-domain recordings differs in speakers"):
        out_of_domain.join(run, replace(other, info=info), gate)
