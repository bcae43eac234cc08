"""Table 3, SSL 4: both landmark tasks and action units.

python -m sersl_jax.main --config=configs/ssl4.py          # embedded corpus, minutes on 2 CPU cores
python -m sersl_jax.main --config=configs/ssl4.py:paper    # MSP-Face and CREMA-D, one GPU

The paper: 56.7 55.0 53.6 / 54.8 (macro precision, recall, F1 / micro).
"""

from ml_collections import ConfigDict

from sersl_jax import methods


def get_config(argument: str = "demo") -> ConfigDict:
    return methods.self_supervised("ssl4", argument)
