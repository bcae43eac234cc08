"""Speech emotion recognition with self-supervised audiovisual pretext tasks (Goncalves & Busso)."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sersl_jax.inference.load import load as load

__all__ = ["load"]


def __getattr__(name: str) -> Any:
    """`sersl_jax.load`, imported at first use: `import sersl_jax` stays light."""
    if name != "load":
        raise AttributeError(f"module 'sersl_jax' has no attribute {name!r}")
    from sersl_jax.inference.load import load

    return load
