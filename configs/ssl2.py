"""Table 3, SSL 2: energy, one centroid for the whole face, action units.

python -m sersl_jax.main --config=configs/ssl2.py          # embedded corpus, minutes on 2 CPU cores
python -m sersl_jax.main --config=configs/ssl2.py:paper    # MSP-Face and CREMA-D, one GPU

The paper: 59.0 57.2 56.4 / 57.0 (macro precision, recall, F1 / micro).
"""

from ml_collections import ConfigDict

from sersl_jax import methods


def get_config(argument: str = "demo") -> ConfigDict:
    return methods.self_supervised("ssl2", argument)
