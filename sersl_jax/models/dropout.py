"""Dropout whose random bits cost next to nothing and do not depend on padding.

Threefry takes about 10 ns for every random word on a CPU: with 80 million elements to drop in one
training step, most of the step would be spent on it. Dropout needs decorrelated bits, not
cryptographic ones, so a key is expanded by a 32-bit integer hash of the element's coordinates.
XLA fuses the hash into the multiplication: no mask is ever stored for the forward pass. Because
bits are addressed by coordinates, frames of padding change nothing for the others.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, UInt32

_GOLDEN = np.uint32(0x9E3779B9)


def _mix(x: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
    """A bijective hash of 32 bits with low bias (two multiplications, three xor-shifts)."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)


def seed(key: PRNGKeyArray) -> UInt32[Array, ""]:
    """The root of a tree of seeds, from a JAX key."""
    first, second = jax.random.key_data(key)
    return _mix(first ^ _mix(second))


def split(root: UInt32[Array, "*prefix"], *sizes: int) -> UInt32[Array, "*prefix_and_sizes"]:
    """One decorrelated seed (or 32 random bits) for every coordinate of `sizes` below `root`."""
    for size in sizes:
        root = _mix(root[..., None] + _GOLDEN * jnp.arange(1, size + 1, dtype=jnp.uint32))
    return root


def dropout(
    x: Float[Array, "*shape"], rate: float, root: UInt32[Array, ""] | None
) -> Float[Array, "*shape"]:
    """Sets each element to 0 with probability `rate` and scales the rest; no `root`, no dropout."""
    if root is None or rate == 0.0:
        return x
    # The barrier: or XLA hashes the leading coordinates again for every element.
    rows = jax.lax.optimization_barrier(split(root, *x.shape[:-1]))
    keep = split(rows, x.shape[-1]) >= jnp.uint32(rate * 2**32)
    return jnp.where(keep, x * (1.0 / (1.0 - rate)), jnp.zeros((), x.dtype))
