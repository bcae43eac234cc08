"""Scaled dot-product attention of one sequence, with a backward pass written by hand.

Automatic differentiation of the softmax and of dropout keeps and moves several matrices of
scores; this one keeps none: the weights are computed, and the dropout mask is drawn, once more.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, UInt32

from sersl_jax.models.dropout import dropout

Heads = Float[Array, "heads frames width"]
Allowed = Bool[Array, "frames frames"]
Root = UInt32[Array, ""] | None
Saved = tuple[Heads, Heads, Heads, Heads, Allowed, Root]


def attend(
    qkv: Float[Array, "frames 3 heads width"],
    allowed: Allowed,
    rate: float,
    root: Root,
) -> Float[Array, "frames heads width"]:
    """Attention of every head; `rate` of the weights are dropped. Softmax is in float32."""
    width = qkv.shape[-1]
    # Products of 13 columns are slow; zero columns up to 16 leave every product as it is.
    q, k, v = jnp.pad(qkv, ((0, 0), (0, 0), (0, 0), (0, -width % 16))).transpose(1, 2, 0, 3)
    return _attend(q * width**-0.5, k, v, allowed, rate, root).transpose(1, 0, 2)[..., :width]


def _weighted_values(
    q: Heads, k: Heads, v: Heads, allowed: Allowed, rate: float, root: Root
) -> Heads:
    return jnp.einsum("hqk,hkd->hqd", dropout(_weights(q, k, allowed), rate, root), v)


def _weights(q: Heads, k: Heads, allowed: Allowed) -> Float[Array, "heads frames frames"]:
    scores = jnp.einsum("hqd,hkd->hqk", q, k, preferred_element_type=jnp.float32)
    return jax.nn.softmax(jnp.where(allowed, scores, -1e30), axis=-1).astype(q.dtype)


def _forward(
    q: Heads, k: Heads, v: Heads, allowed: Allowed, rate: float, root: Root
) -> tuple[Heads, Saved]:
    out = _attend(q, k, v, allowed, rate, root)
    return out, (q, k, v, out, allowed, root)


def _backward(rate: float, saved: Saved, d_out: Heads) -> tuple[Heads, Heads, Heads, None, None]:
    q, k, v, out, allowed, root = saved
    weights = _weights(q, k, allowed)
    d_v = jnp.einsum("hqk,hqd->hkd", dropout(weights, rate, root), d_out)
    # Dropout is linear and its mask is addressed by position: the gradient takes the same one.
    d_weights = dropout(jnp.einsum("hqd,hkd->hqk", d_out, v), rate, root)
    # sum_k weights * d_weights = d_out . out, also under dropout.
    delta = (d_out * out).astype(jnp.float32).sum(axis=-1, keepdims=True)
    d_scores = (weights * (d_weights - delta)).astype(q.dtype)
    d_q = jnp.einsum("hqk,hkd->hqd", d_scores, k)
    d_k = jnp.einsum("hqk,hqd->hkd", d_scores, q)
    return d_q, d_k, d_v, None, None


_attend = jax.custom_vjp(_weighted_values, nondiff_argnums=(4,))
_attend.defvjp(_forward, _backward)
