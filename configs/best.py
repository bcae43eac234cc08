"""The recipe that recognises emotions best (docs/results.md): convolutions, and no attention.

python -m sersl_jax.main --config=configs/best.py         # embedded corpus
python -m sersl_jax.main --config=configs/best.py:paper   # CREMA-D, the paper's protocol
python -m sersl_jax.main --config=configs/best.py:paper --config.finetune.init_from=default \\
  --config.finetune.dataset=speech/folder --config.finetune.source=DIR   # from the package's model
"""

from ml_collections import ConfigDict

from sersl_jax import methods


def get_config(argument: str = "demo") -> ConfigDict:
    return methods.best(argument)
