"""Predicting test clips gives what testing gave, whatever normalises them."""

import functools
import json
import shutil

import jax
import numpy as np
import pandas as pd
import pytest

import sersl_jax
from sersl_jax import predict
from sersl_jax.config import create
from sersl_jax.features import audio, llds
from sersl_jax.inference import exported
from sersl_jax.inference.prediction import ALONE
from sersl_jax.training import checkpoint, experiment
from tests.trained_run import babble, config, trained_run, write_wav


def values(prediction):
    return np.array(list(prediction.probabilities.values()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """18 clips of 6 speakers with labels of their own, each speaker's in a folder."""
    root, rows = tmp_path_factory.mktemp("corpus"), []
    (root / "corpus" / "media").mkdir(parents=True)
    for number in range(18):
        write_wav(root / "corpus" / "media" / f"{number}.wav", babble(0.7 + 0.05 * number, number))
        rows.append((f"{number}", ("bored", "keen", "tired")[number % 3], f"speaker{number // 3}"))
    table = pd.DataFrame(rows, columns=["clip", "label", "speaker_id"])
    table.to_csv(root / "corpus" / "labels.csv", index=False)
    return root


@pytest.fixture(scope="module")
def tuned(folder):
    """`tuned(embed, scope)`: a run fine-tuned on `folder`, its predictions.csv, and ours."""

    def tune(embed, scope, seeds=1):
        chosen = config()
        chosen.stages, chosen.data.data_dir = ("finetune",), str(folder / "data")
        source = {"dataset": "speech/folder", "source": str(folder / "corpus")}
        chosen.finetune.update({**source, "num_splits": 1, "epochs": 1, "batch_size": 8})
        chosen.model.embed, chosen.model.wav2vec2.conv_widths = embed, (8,) * 7
        chosen.data.normalise = scope
        frozen = {"init_from": str(trained_run()), "freeze": ("embed", "encoder")}
        own = embed == "llds" and scope == "train"  # the scope of the run that it starts from
        chosen.finetune.update(frozen if own else {"init_from": ""})
        chosen.model.context = "paper" if own else "none"  # which compiles in half the time
        chosen.finetune.update({"seeds": seeds, "class_weights": "sqrt" if seeds > 1 else "none"})
        run = folder / f"{embed}_{scope}_{seeds}"
        experiment.run(create(chosen), run)
        results = pd.read_csv(run / "predictions.csv", dtype={"clip": str})
        clips = [folder / "corpus" / "media" / f"{clip}.wav" for clip in results["clip"]]
        tested = results[[c for c in results if c.startswith("p_")]].to_numpy()
        return sersl_jax.load(run), clips, tested, list(results["speaker_id"])

    return functools.cache(tune)


@pytest.mark.parametrize("embed", ["llds", "waveform"])
def test_own_classes_fine_tune_a_frozen_encoder_and_predict_as_tested(tuned, embed):
    """A folder with other labels, LLDs' from a checkpoint; predict equals predictions.csv."""
    recognizer, clips, tested, _ = tuned(embed, "train")
    assert recognizer.labels == ("bored", "keen", "tired")
    found = recognizer.predict_all(clips, members=0)
    np.testing.assert_allclose([*map(values, found)], tested, atol=1e-5)
    if embed == "waveform":
        return
    source = checkpoint.read_model(trained_run() / "pretrain").params
    tuned_params = recognizer.ensemble.weights["params"]
    for part in ("embed", "encoder"):
        jax.tree.map(np.testing.assert_array_equal, tuned_params[part], source[part])


def test_the_seeds_of_a_split_are_averaged_as_tested(tuned, folder):
    recognizer, clips, tested, _ = tuned("llds", "utterance", 2)
    assert recognizer.members == ("0",)
    assert recognizer.ensemble.names == ("0", "0#1")
    for members in (None, "0"):
        found = recognizer.predict_all(clips, members=members)
        np.testing.assert_allclose([*map(values, found)], tested, atol=1e-5)
    _, _, tested_alone, _ = tuned("llds", "utterance")
    assert np.abs(tested - tested_alone).max() > 1e-4
    params = recognizer.ensemble.weights["params"]
    same = [np.array_equal(leaf[0], leaf[1]) for leaf in jax.tree.leaves(params)]
    assert not all(same)


def test_each_sound_is_normalised_by_itself_as_tested(tuned):
    recognizer, clips, tested, _ = tuned("llds", "utterance")
    found = list(recognizer.predict_all(clips))
    np.testing.assert_allclose([*map(values, found)], tested, atol=1e-5)
    assert {note for one in found for note in one.notes} == set()
    (window,) = recognizer.timeline(clips[0], window=9.0)
    np.testing.assert_allclose(values(window), tested[0], atol=1e-5)


def test_clips_of_a_speaker_are_normalised_together_as_tested(tuned, folder, tmp_path, capsys):
    recognizer, clips, tested, speakers = tuned("llds", "speaker")
    for clip, speaker in zip(clips, speakers, strict=True):
        (tmp_path / speaker).mkdir(exist_ok=True)
        shutil.copy(clip, tmp_path / speaker)
    copies = [str(tmp_path / s / c.name) for c, s in zip(clips, speakers, strict=True)]
    run = str(folder / "llds_speaker_1")
    capsys.readouterr()
    predict.run(copies, predict.Options(run, format="json", speaker_from="folder"))
    out, err = capsys.readouterr()
    found = [list(row["probabilities"].values()) for row in json.loads(out)]
    np.testing.assert_allclose(found, tested, atol=1e-5)
    assert "note" not in err
    together = recognizer.speaker_normaliser([*copies, tmp_path / "none.wav"])
    whole = recognizer.predict(copies[0], normaliser=together)
    (window,) = recognizer.timeline(copies[0], window=9.0, normaliser=together)
    np.testing.assert_allclose(values(window), values(whole), atol=1e-6)
    with pytest.raises(ValueError, match="no usable sound of this speaker"):
        recognizer.speaker_normaliser([tmp_path / "none.wav"])


def test_without_its_speaker_a_sound_is_normalised_by_itself_and_told_so(tuned, folder, capsys):
    recognizer, clips, tested, _ = tuned("llds", "speaker")
    alone = recognizer.predict(clips[0])
    assert alone.notes == (ALONE,)
    assert np.abs(values(alone) - tested[0]).max() > 1e-4
    own = recognizer.speaker_normaliser([clips[0]])
    by_itself = recognizer.predict(clips[0], normaliser=own)
    assert by_itself.notes == ()
    np.testing.assert_allclose(values(by_itself), values(alone), atol=1e-6)
    assert all(ALONE in f.notes for f in recognizer.timeline(clips[0], window=0.5, hop=0.1))
    sound = audio.read(clips[0])
    for normaliser in (None, own):
        stream = recognizer.stream(window=0.5, normaliser=normaliser)
        assert {ALONE in found.notes for found in stream.push(sound)} == {normaliser is None}
    run = str(folder / "llds_speaker_1")
    capsys.readouterr()
    predict.run([str(clips[0])], predict.Options(run, timeline=True, window=0.5))
    err = capsys.readouterr().err
    assert err.startswith("note: this run normalises all clips of a speaker together; without")
    assert err.count("\n") == 1
    predict.run([str(clips[0])], predict.Options(str(trained_run()), speaker_from="file"))
    assert "--speaker_from changes nothing" in capsys.readouterr().err


@pytest.mark.parametrize("scope", ["train", "utterance", "speaker"])
def test_exported_models_normalise_as_the_run(tuned, tmp_path, scope):
    pytest.importorskip("safetensors", reason="needs the extra export")
    recognizer, clips, _, _ = tuned("llds", scope)
    exported.write(recognizer.ensemble, "safetensors", tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["normalise"] == scope
    assert "normalis" in (tmp_path / "README.md").read_text()
    loaded = sersl_jax.load(tmp_path)
    assert loaded.scope == scope
    expected = recognizer.predict(clips[0])
    assert loaded.predict(clips[0]).notes == expected.notes
    np.testing.assert_allclose(values(loaded.predict(clips[0])), values(expected), atol=1e-6)
    if scope == "speaker":
        with pytest.raises(ValueError, match="normalises all clips of a speaker together"):
            exported.create_function(recognizer.ensemble)
        return
    x = [llds.extract(audio.read(clip)) for clip in clips[:2]]
    lengths = np.array([len(a) for a in x], np.int32)
    inputs = np.stack([np.pad(a, ((0, lengths.max() - len(a)), (0, 0))) for a in x])
    p = jax.jit(exported.create_function(recognizer.ensemble))(inputs, lengths)
    both = [values(one) for one in recognizer.predict_all(clips[:2])]
    np.testing.assert_allclose(p, both, atol=1e-4)
