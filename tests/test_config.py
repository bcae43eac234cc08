"""Every wrong field is named in one line, with what is allowed, before anything is prepared."""

import dataclasses
import importlib
import json
from pathlib import Path

import pytest

from configs import best, ssl1, wav2vec2
from sersl_jax import datasets, methods
from sersl_jax.config import Config, create, locked
from sersl_jax.training import checks, experiment, export_folder
from tests.trained_run import trained_run

CONFIGS = sorted(Path(ssl1.__file__).parent.glob("*.py"))
ROWS = [importlib.import_module(f"configs.{path.stem}") for path in CONFIGS]
WRONG = {
    "name": ("", "is empty"),
    "seed": (-1, "should be greater than or equal to 0"),
    "stages": (("finetun",), "should be 'pretrain' or 'finetune'"),
    "dtype": ("float64", "should be 'float32' or 'bfloat16'"),
    "checkpoint_seconds": (-1.0, "should be greater than or equal to 0"),
    "model.embed": ("mfcc", "should be 'llds', 'conv' or 'waveform'"),
    "model.dim": (131, "should be a multiple of config.model.num_heads=10"),
    "model.num_layers": (0, "should be greater than or equal to 1"),
    "model.residual": ("fre", "should be 'free', 'tied' or 'plain'"),
    "model.alpha_init": ("zero", "should be 'one' or 'uniform'"),
    "model.pooling": ("max", "should be 'mean', 'last', 'statistics' or 'attention'"),
    "model.dropout.ffn": (-0.1, "should be greater than or equal to 0"),
    "model.dropout.head": (1, "should be less than 1"),
    "model.wav2vec2.conv_widths": ((8,) * 6, "should have at least 7 items, not 6"),
    "model.wav2vec2.temperature": ((2.0, 0.5), r"\.2 is missing in \(2.0, 0.5\)"),
    "data.residency": ("gpu", "should be 'auto', 'device' or 'stream'"),
    "data.normalise": ("global", "should be 'train', 'speaker' or 'utterance'"),
    "data.dtype": ("float16", "should be 'float32' or 'bfloat16'"),
    "data.bucket.llds": (0, "should be greater than or equal to 1"),
    "data.pitch_window": (0.0, "should be greater than 0"),
    "pretrain.objective": ("wav2vec2", "does not go with config.model.embed=llds"),
    "pretrain.members": ({}, "names no method"),
    "pretrain.validation_fraction": (1.0, "should be less than 1"),
    "pretrain.optimizer.learning_rate": (float("inf"), "should be a finite number"),
    "finetune.epochs": (0, "should be greater than or equal to 1"),
    "finetune.steps": (-2, "should be greater than or equal to 0"),
    "finetune.patience": (1.5, "should be a valid integer"),
    "finetune.batch_size": (0, "should be greater than or equal to 1"),
    "finetune.num_splits": (0, "should be greater than or equal to 1"),
    "finetune.protocol": ("papr", "should be one of paper, emosuperb, .* or a .json file"),
    "finetune.select": ("f1", "should be 'loss', 'macro_f1', 'accuracy' or 'ccc'"),
    "finetune.tasks": ({"votes_voice": 1.0}, "should name 'emotion' or attributes such as"),
    "finetune.helpers": ({"head/sex": 1.0}, "names 'head/sex': take votes_multimodal, .* sex or"),
    "finetune.attribute_loss": ("mae", "should be 'ccc' or 'mse'"),
    "finetune.class_weights": ("even", "should be 'none', 'balanced' or 'sqrt'"),
    "finetune.seeds": (0, "should be greater than or equal to 1"),
    "finetune.augment.mixup": (-0.1, "should be greater than or equal to 0"),
    "finetune.freeze": ("embed", r"should be several values in brackets, such as \('a', 'b'\)"),
    "finetune.label.source": ("votes", "should be 'intended', 'multimodal', 'voice' or 'face'"),
    "finetune.label.targets": ("soft", "needs votes: set config.finetune.label.source"),
    "finetune.label.ties": ("first", "should be 'random' or 'drop'"),
    "finetune.optimizer.schedule": ("cosinus", "should be 'plateau', 'linear' or 'cosine'"),
    "finetune.optimizer.beta2": (1.0, "should be less than 1"),
    "finetune.optimizer.plateau_factor": (1.0, "should be less than 1"),
}


def changed(field, value, config=None):
    """The config of SSL 1 as a dictionary, one field changed."""
    config = (config or ssl1.get_config()).to_dict()
    *sections, name = field.split(".")
    section = config
    for one in sections:
        section = section[one]
    section[name] = value
    return config


@pytest.mark.parametrize("field", WRONG)
def test_a_wrong_value_is_named_with_what_is_allowed(field):
    value, said = WRONG[field]
    with pytest.raises(ValueError, match=said) as caught:
        create(changed(field, value))
    assert str(caught.value).startswith(f"config.{field}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("select", "task"), [("ccc", "emotion"), ("macro_f1", "arousal"), ("accuracy", "arousal")]
)
def test_an_epoch_is_chosen_by_a_metric_that_a_task_has(select, task):
    config = changed("finetune.select", select)
    config["finetune"]["tasks"] = {task: 1.0}
    with pytest.raises(ValueError, match=rf"select={select} is of no task in .* \({task}\)"):
        create(config)
    config["finetune"]["tasks"] = {"emotion": 1.0, "arousal": 1.0}
    assert create(config).finetune.select == select


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"dim": 25}, "dim=25 should be a multiple of config.model.num_heads=10"),
        ({"dim": 2, "num_heads": 2}, "dim=2 should be 4 or more"),
        ({"dim": 260, "input_projection": False}, "dim=260 should be 130, as many as there are"),
        ({"dim": 60, "context": "base"}, "dim=60 should be a multiple of 16 with config.model.co"),
        ({"causal": True, "context": "none"}, "causal=True does nothing with config.model.contex"),
    ],
)
def test_a_network_that_cannot_be_is_refused(fields, said):
    config = ssl1.get_config().to_dict()
    config["model"].update(fields)
    with pytest.raises(ValueError, match=said):
        create(config)


def test_class_weights_need_classes():
    config = changed("finetune.tasks", {"arousal": 1.0})
    config["finetune"].update({"class_weights": "balanced", "select": "loss"})
    with pytest.raises(ValueError, match="class_weights='balanced' needs 'emotion' among"):
        create(config)


def test_all_wrong_fields_are_named_at_once():
    config = changed("finetune.epochs", 0)
    config["model"]["pooling"] = "max"
    with pytest.raises(
        ValueError, match=r"config.model.pooling='max' .*; config.finetune.epochs=0"
    ):
        create(config)


def test_a_field_that_does_not_exist_is_named():
    with pytest.raises(ValueError, match=r"config.finetune.epoch=3 is no field"):
        create(changed("finetune.epoch", 3))


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("pretrain.members", {"mine": {"nrg": 1.0}}, "members.mine names nrg: take some of energy"),
        ("pretrain.members", {"mine": {}}, "members.mine names no task: take some of energy"),
        ("pretrain.dataset", "synthetic", "pretrain.dataset: .* form pretext/CORPUS"),
        ("pretrain.dataset", "pretext/msp_face", "pretrain.dataset: no prepared dataset pretext/m"),
        ("pretrain.source", "nowhere", "config.pretrain.source=nowhere does not exist"),
        ("finetune.dataset", "speech/crema_d", "finetune.dataset: no prepared dataset speech/cre"),
        ("finetune.protocol", "my.json", "config.finetune.protocol=my.json does not exist"),
        ("finetune.init_from", "runs/x", "config.finetune.init_from=runs/x does not exist"),
        (
            "finetune.init_from",
            str(export_folder.DEFAULT / "model.safetensors"),
            "weights need conf",
        ),
        ("finetune.freeze", ("encodr",), "config.finetune.freeze names 'encodr': .*embed/projec"),
    ],
)
def test_what_is_missing_here_is_named_before_anything_is_prepared(tmp_path, field, value, said):
    config = changed(field, value)
    config["data"]["data_dir"] = str(tmp_path / "data")
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        experiment.run(create(config), tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_unknown_losses_of_wav2vec2_are_named():
    members = {"mine": {"contrastive": 1.0, "diverse": 0.1}}
    config = create(changed("pretrain.members", members, wav2vec2.get_config()))
    with pytest.raises(ValueError, match="mine names diverse: take some of contrastive, diversity"):
        checks.check_pretrain(config)


def test_fine_tuning_without_any_pre_training_is_named(tmp_path):
    config = create(changed("stages", ("finetune",)))
    with pytest.raises(ValueError, match=r"init_from=pretrain: .*run has no pre-training; add"):
        experiment.run(config, tmp_path / "run")


@pytest.mark.parametrize(
    ("method", "path"),
    [(ssl1, "embed"), (ssl1, "encoder/stack1"), (ssl1, "head_emotion"), (best, "embed")],
)
def test_parameters_that_are_there_may_be_frozen(method, path, tmp_path):
    config = changed("finetune.freeze", (path,), method.get_config())
    config["finetune"]["init_from"] = str(trained_run())
    checks.check_finetune(create(config), tmp_path)


def test_parameters_of_a_convolutional_embedding_may_be_frozen(tmp_path):
    config = changed("finetune.freeze", ("embed/conv_0",), best.get_config())
    config["finetune"]["init_from"] = "default"
    checks.check_finetune(create(config), tmp_path)


@pytest.mark.parametrize(
    ("fields", "read"),
    [
        ({"dataset": "speech/emodb"}, True),
        ({"dataset": "speech/emodb", "source": "."}, False),
        ({"dataset": "speech/synthetic"}, False),
    ],
)
def test_tasks_are_checked_on_no_dataset_that_will_be_prepared_anew(
    fields, read, tmp_path, monkeypatch
):
    """What lies there may be of an older version, which does not know them."""
    config = best.get_config()
    config.finetune.helpers = {"sex": 1.0}
    config.finetune.update(fields)
    asked = []
    monkeypatch.setattr(datasets, "find", lambda *_: tmp_path)
    monkeypatch.setattr(datasets, "folder", lambda *_: tmp_path)
    monkeypatch.setattr(checks, "read_dataset", lambda *given: asked.append(given))
    monkeypatch.setattr(checks, "create_targets", lambda *_: None)
    checks.check_finetune(create(config), tmp_path)
    assert bool(asked) == read


FREE = {
    "stages": ("finetune",),
    "profile": True,
    "checkpoint_seconds": 5.0,
    "data.data_dir": "elsewhere",
    "data.residency": "stream",
    "data.steps_per_dispatch": 8,
    "pretrain.source": "elsewhere",
    "finetune.source": "elsewhere",
    "finetune.parallel_members": 1,
    "finetune.num_splits": 20,
}


@pytest.mark.parametrize("field", FREE)
def test_what_changes_no_results_may_change_from_start_to_start(field, tmp_path):
    experiment.claim(tmp_path, create(ssl1.get_config()))
    experiment.claim(tmp_path, create(changed(field, FREE[field])))
    stored = json.loads((tmp_path / "config.json").read_text())
    assert create(stored) == create(changed(field, FREE[field]))


@pytest.mark.parametrize(
    ("field", "value", "before"),
    [
        ("seed", 1, "0"),
        ("dtype", "bfloat16", "float32"),
        ("model.residual", "tied", "free"),
        ("data.normalise", "speaker", "train"),
        ("data.bucket.llds", 32, "64"),
        ("pretrain.members", {"ssl1": {"energy": 1.0}}, r"\{'ssl1': .*\}"),
        ("pretrain.batch_size", 16, "32"),
        ("finetune.patience", 2, "0"),
        ("finetune.select", "loss", "macro_f1"),
        ("finetune.helpers", {"sex": 0.1}, r"\{\}"),
        ("finetune.seeds", 3, "1"),
        ("finetune.freeze", ("embed",), r"\(\)"),
        ("finetune.optimizer.schedule", "linear", "plateau"),
    ],
)
def test_what_changes_results_is_refused_and_named(field, value, before, tmp_path):
    experiment.claim(tmp_path, create(ssl1.get_config()))
    kept = (tmp_path / "config.json").read_text()
    with pytest.raises(ValueError, match=rf"other {field} \({before}\): take another --workdir"):
        experiment.claim(tmp_path, create(changed(field, value)))
    assert (tmp_path / "config.json").read_text() == kept


def test_every_field_but_the_free_ones_is_locked():
    paths = set(_paths(dataclasses.asdict(Config())))
    assert paths - set(locked(Config())) == set(FREE)


def _paths(values, prefix=""):
    for name, value in values.items():
        if isinstance(value, dict) and name not in ("members", "tasks"):
            yield from _paths(value, f"{prefix}{name}.")
        else:
            yield prefix + name


def test_a_field_that_an_older_run_did_not_know_counts_as_its_default(tmp_path):
    experiment.claim(tmp_path, create(ssl1.get_config()))
    path = tmp_path / "config.json"
    stored = json.loads(path.read_text())
    del stored["finetune"]["select"], stored["data"]["normalise"], stored["pretrain"]["patience"]
    path.write_text(json.dumps(stored))
    experiment.claim(tmp_path, create(ssl1.get_config()))
    path.write_text(json.dumps(stored))
    with pytest.raises(ValueError, match=r"other finetune.select \(macro_f1\)"):
        experiment.claim(tmp_path, create(changed("finetune.select", "accuracy")))


def test_a_run_of_a_later_version_is_said_to_be_one(tmp_path):
    stored = {**ssl1.get_config().to_dict(), "quantum": 1}
    (tmp_path / "config.json").write_text(json.dumps(stored))
    with pytest.raises(ValueError, match=r"config.json was written by another .* config.quantum=1"):
        experiment.claim(tmp_path, create(ssl1.get_config()))


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("argument", ["demo", "paper"])
def test_every_config_is_a_diff_of_the_defaults(row, argument):
    config = row.get_config(argument)
    known = methods.defaults(argument).to_dict()
    given = config.to_dict()
    given["pretrain"]["members"] = given["finetune"]["helpers"] = {}
    assert same_keys(known, given)
    assert config.name == row.__name__.split(".")[-1]


def same_keys(one, other):
    if not isinstance(one, dict):
        return True
    return one.keys() == other.keys() and all(same_keys(one[k], other[k]) for k in one)
