import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sersl_jax.models.dropout import dropout, seed, split


@pytest.fixture(scope="module")
def words():
    return np.asarray(jax.jit(lambda key: split(seed(key), 64, 128, 32))(jax.random.key(5)))


def test_every_bit_is_set_half_the_time(words):
    bits = np.unpackbits(words.view(np.uint8), axis=-1).reshape(-1, 32)
    error = np.abs(bits.mean(axis=0) - 0.5)
    assert error.max() < 5 * 0.5 / np.sqrt(len(bits))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_neighbours_are_uncorrelated(words, axis):
    uniform = words / 2**32 - 0.5
    left = np.take(uniform, range(uniform.shape[axis] - 1), axis)
    right = np.take(uniform, range(1, uniform.shape[axis]), axis)
    correlation = (left * right).mean() * 12
    assert abs(correlation) < 5 / np.sqrt(left.size)


def test_seeds_of_different_keys_are_uncorrelated():
    first, second = (
        np.asarray(split(seed(jax.random.key(k)), 100, 1000)) / 2**32 - 0.5 for k in (0, 1)
    )
    assert abs((first * second).mean() * 12) < 5 / np.sqrt(first.size)


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5])
def test_rate_and_scale(rate):
    x = jnp.ones((200, 1000))
    y = np.asarray(jax.jit(dropout, static_argnums=1)(x, rate, seed(jax.random.key(1))))
    assert set(np.unique(y)) == {0.0, np.float32(1 / (1 - rate))}
    error = abs((y == 0).mean() - rate)
    assert error < 5 * np.sqrt(rate * (1 - rate) / y.size)


def test_no_root_no_dropout():
    x = jnp.arange(4.0)
    assert dropout(x, 0.5, None) is x
