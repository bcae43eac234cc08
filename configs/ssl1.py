"""Table 3, SSL 1: energy, both landmark tasks and action units: the paper's method.

python -m sersl_jax.main --config=configs/ssl1.py          # embedded corpus, minutes on 2 CPU cores
python -m sersl_jax.main --config=configs/ssl1.py:paper    # MSP-Face and CREMA-D, one GPU

The paper: 59.7 57.9 57.0 / 57.7 (macro precision, recall, F1 / micro).
"""

from ml_collections import ConfigDict

from sersl_jax import methods


def get_config(argument: str = "demo") -> ConfigDict:
    return methods.self_supervised("ssl1", argument)
