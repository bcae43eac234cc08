"""A small network that carries over to other microphones and rooms (docs/results.md).

python -m sersl_jax.main --config=configs/portable.py         # embedded corpus
python -m sersl_jax.main --config=configs/portable.py:paper   # CREMA-D, the paper's protocol

On the corpus itself its UAR is 15 points lower than configs/best.py's. The model in the package
asks it about recordings unlike CREMA-D's (`export --out_of_domain`).
"""

from ml_collections import ConfigDict

from sersl_jax import methods


def get_config(argument: str = "demo") -> ConfigDict:
    return methods.portable(argument)
