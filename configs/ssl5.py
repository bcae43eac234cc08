"""Table 3, SSL 5: energy alone.

python -m sersl_jax.main --config=configs/ssl5.py          # embedded corpus, minutes on 2 CPU cores
python -m sersl_jax.main --config=configs/ssl5.py:paper    # MSP-Face and CREMA-D, one GPU

The paper: 33.6 43.2 35.8 / 42.8 (macro precision, recall, F1 / micro).
"""

from ml_collections import ConfigDict

from sersl_jax import methods


def get_config(argument: str = "demo") -> ConfigDict:
    return methods.self_supervised("ssl5", argument)
