"""Tiny wav2vec 2.0 networks for tests."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from sersl_jax.models.transformer import Encoder
from sersl_jax.models.wav2vec2 import WaveformEmbedding
from sersl_jax.models.wav2vec2_base import BaseContext
from sersl_jax.models.wav2vec2_pretrain import ContrastiveHead, PretrainNet
from sersl_jax.training.objectives_wav2vec2 import Wav2Vec2

# These tests compile much and compute little: unoptimised code is ready in a third of the time.
jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": "0"})
FLOAT32 = jnp.dtype("float32")
DROPOUT = {"embedding": 0.25, "output": 0.0, "residual": 0.1, "attention": 0.1, "ffn": 0.1}


def embedding(dim=20, gradient_scale=0.1, width=8):
    return WaveformEmbedding(dim, (width,) * 7, gradient_scale, 0.1, FLOAT32)


def encoder(dim=20):
    return Encoder(1, 2, 2 * dim, "free", "uniform", False, True, "sinusoidal", DROPOUT, FLOAT32)


def base_context():
    """That of goldens/wav2vec2.npz."""
    return BaseContext(2, 2, 24, DROPOUT, FLOAT32, positions_kernel=8, positions_groups=4)


def base_network():
    """That of goldens/wav2vec2.npz."""
    head = ContrastiveHead(16, 2, 6, 8, 10, 0.1)
    return PretrainNet(embedding(16, 1.0, 12), base_context(), head)


def objective(network=None):
    network = network or PretrainNet(
        embedding(), encoder(), ContrastiveHead(20, 2, 32, 16, 16, 0.1)
    )
    return Wav2Vec2(network, 0.065, 10, 2, 100, (2.0, 0.5, 0.999995))


def random_params(init, *args):
    """Parameters in the shapes that `init(key, *args)` gives, without compiling it."""
    shapes, rng = jax.eval_shape(init, jax.random.key(0), *args), np.random.default_rng(0)
    return jax.tree.map(lambda x: jnp.asarray(0.3 * rng.normal(size=x.shape), x.dtype), shapes)
