import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sersl_jax import methods
from sersl_jax.config import create
from sersl_jax.models.build import create_network
from sersl_jax.models.wav2vec2_import import import_huggingface
from sersl_jax.tasks import Task
from sersl_jax.training import checkpoint
from tests.models import wav2vec2_small as small
from tests.models.test_wav2vec2 import WEIGHTS


def test_every_parameter_is_imported_in_shape():
    network, x = small.base_network(), jnp.zeros((1, 800))
    args = (x, jnp.array([800]), jnp.zeros((1, 2), bool), 1.0, None)
    params = jax.eval_shape(lambda: network.init(jax.random.key(0), *args))["params"]
    chex.assert_trees_all_equal_shapes(import_huggingface(WEIGHTS), params)


def test_imported_weights_fill_the_fine_tuned_network():
    config = methods.self_supervised("ssl1")
    config.stages = ("finetune",)
    config.model.update({"embed": "waveform", "context": "base", "dim": 16, "num_layers": 2})
    config.model.update({"num_heads": 2, "ffn_dim": 24})
    config.model.wav2vec2.conv_widths = (12,) * 7
    network = create_network(
        create(config).model, (Task("emotion", ("anger", "joy", "calm")),), "float32"
    )
    # The golden's positional convolution is narrower than the published one.
    network = network.clone(encoder=small.base_context())
    args = (jnp.zeros((1, 800)), jnp.array([800]), None)
    fresh = small.random_params(lambda key: network.init(key, *args)["params"])
    params, table = checkpoint.transfer(fresh, import_huggingface(WEIGHTS), "x.safetensors")
    assert any(line.split() == ["left", "head_contrastive"] for line in table)
    chex.assert_trees_all_equal(params["encoder"], import_huggingface(WEIGHTS)["encoder"])
    assert jnp.isfinite(network.apply({"params": params}, *args)["emotion"]).all()


def test_bare_and_fine_tuned_models_are_taken():
    bare = {k.removeprefix("wav2vec2."): v for k, v in WEIGHTS.items() if k.startswith("wav2vec2.")}
    fine_tuned = bare | {"lm_head.weight": np.zeros((3, 16))}
    chex.assert_trees_all_equal(import_huggingface(bare), import_huggingface(fine_tuned))
    assert import_huggingface(bare).keys() == {"embed", "encoder"}


def test_old_names_of_the_weight_norm():
    name = "wav2vec2.encoder.pos_conv_embed.conv."
    old = dict(WEIGHTS)
    for index, part in enumerate("gv"):
        old[f"{name}weight_{part}"] = old.pop(f"{name}parametrizations.weight.original{index}")
    chex.assert_trees_all_equal(import_huggingface(old), import_huggingface(WEIGHTS))


def test_other_architectures_are_refused():
    large = WEIGHTS | {"wav2vec2.feature_extractor.conv_layers.1.layer_norm.weight": np.ones(12)}
    with pytest.raises(ValueError, match=r"left over: .*conv_layers\.1\.layer_norm"):
        import_huggingface(large)
    with pytest.raises(ValueError, match="holds no 'feature_extractor"):
        import_huggingface({"bert.embeddings": np.ones(3)})


def test_safetensors_file(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    path = tmp_path / "model.safetensors"
    safetensors.save_file({k: np.ascontiguousarray(v) for k, v in WEIGHTS.items()}, path)
    chex.assert_trees_all_equal(import_huggingface(path), import_huggingface(WEIGHTS))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged, .*: fetch it again"):
        import_huggingface(path)
    with pytest.raises(ValueError, match=r"no \.safetensors"):
        import_huggingface(tmp_path / "pytorch_model.bin")
