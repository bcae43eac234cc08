import json
from dataclasses import replace

import jax
import jax.export
import numpy as np
import pytest

import sersl_jax
from sersl_jax import export
from sersl_jax.features import llds
from sersl_jax.inference import exported
from tests.trained_run import CLASSES, MEMBERS, babble, trained_run

pytest.importorskip("safetensors", reason="needs the extra export")
pytest.importorskip("flatbuffers", reason="needs the extra export")


def run(out, format, members=None):
    export.run(str(trained_run()), format, out, members)
    return out


@pytest.fixture(scope="module")
def recognizer():
    return sersl_jax.load(trained_run())


def test_stablehlo_gives_the_same_for_any_batch_and_length(recognizer, tmp_path):
    folder = run(tmp_path / "out", format="stablehlo")
    model = jax.export.deserialize(bytearray((folder / "model.stablehlo").read_bytes()))
    for lengths in ((2.0,), (1.2, 3.0, 0.7)):
        sounds = [babble(3.0, seed)[: int(s * 16_000)] for seed, s in enumerate(lengths)]
        features = [llds.extract(sound) for sound in sounds]
        sizes = np.array([len(x) for x in features], np.int32)
        inputs = np.zeros((len(sizes), sizes.max(), llds.NUM_LLDS), np.float32)
        for row, x in zip(inputs, features, strict=True):
            row[: len(x)] = x
        found = [recognizer.predict(sound, 16_000).probabilities for sound in sounds]
        expected = [list(p.values()) for p in found]
        np.testing.assert_allclose(model.call(inputs, sizes), expected, atol=1e-4)


def test_the_card_of_a_function_tells_what_it_takes(recognizer, tmp_path):
    ensemble, info = recognizer.ensemble, recognizer.ensemble.info
    card = exported._card(ensemble, "stablehlo")
    assert 'llds.extract(audio.read("clip.wav"))' in card
    data = {**info["config"]["data"], "pitch_window": 0.032}
    other = {**info["config"], "data": data}
    card = exported._card(replace(ensemble, info={**info, "config": other}), "stablehlo")
    assert 'llds.extract(audio.read("clip.wav"), pitch_window=0.032)' in card
    model = {**info["config"]["model"], "embed": "waveform"}
    waveform = {**info["config"], "stages": ("finetune",), "model": model}
    card = exported._card(replace(ensemble, info={**info, "config": waveform}), "stablehlo")
    assert 'x = audio.read("clip.wav")' in card
    assert "openSMILE" not in card


def test_safetensors_load_back(recognizer, tmp_path):
    folder = run(tmp_path / "out", format="safetensors")
    config = json.loads((folder / "config.json").read_text())
    assert config["id2label"] == {str(i): name for i, name in enumerate(CLASSES)}
    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: sersl_jax\npipeline_tag: audio-classification\n")
    loaded = sersl_jax.load(folder)
    assert loaded.members == MEMBERS
    expected = recognizer.predict(babble(1.0), 16_000)
    assert loaded.predict(babble(1.0), 16_000).probabilities == expected.probabilities


def test_chosen_members_alone_are_written(recognizer, tmp_path):
    loaded = sersl_jax.load(run(tmp_path / "out", format="safetensors", members=["8"]))
    assert loaded.members == ("8",)
    expected = recognizer.predict(babble(1.0), 16_000, members="8").probabilities
    assert loaded.predict(babble(1.0), 16_000).probabilities == pytest.approx(expected, abs=1e-6)


def test_chosen_members_know_their_own_speakers_alone(recognizer):
    info = {**recognizer.ensemble.info, "speakers": [{"train": ["ann"]}, {"train": ["bob"]}]}
    chosen = replace(recognizer.ensemble, info=info).select("8")
    assert (chosen.info["names"], chosen.info["speakers"]) == (["8"], [{"train": ["bob"]}])


def test_where_the_data_lay_is_not_told(recognizer, tmp_path):
    config = recognizer.ensemble.info["config"]
    config = {**config, "data": {**config["data"], "data_dir": "/home/me/data"}}
    config["finetune"] = {**config["finetune"], "source": "/home/me/recordings"}
    ensemble = replace(recognizer.ensemble, info={**recognizer.ensemble.info, "config": config})
    exported.write(ensemble, "safetensors", tmp_path)
    assert "/home/me" not in (tmp_path / "config.json").read_text()
    assert sersl_jax.load(tmp_path).ensemble.config.data.data_dir == ""


def test_a_folder_of_something_else_or_another_version_is_told(tmp_path):
    folder = run(tmp_path / "out", format="safetensors")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "version": 9}))
    with pytest.raises(ValueError, match="is of export version 9, not 1"):
        sersl_jax.load(folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ValueError, match=r"no config.json of sersl_jax"):
        sersl_jax.load(folder)


def test_other_peoples_files_are_not_replaced(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(ValueError, match=r"holds a README.md of something else"):
        export.run(str(trained_run()), "safetensors", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
    export.run(str(trained_run()), "safetensors", tmp_path / "out")
    export.run(str(trained_run()), "safetensors", tmp_path / "out")  # its own


def test_formats_that_are_left_out_say_why(tmp_path):
    with pytest.raises(ValueError, match="onnx is left out: no maintained converter"):
        run(tmp_path, format="onnx")
    with pytest.raises(ValueError, match="--format=pickle: take safetensors or stablehlo"):
        run(tmp_path, format="pickle")
