"""Table 3, SSL 3: energy and both landmark tasks.

python -m sersl_jax.main --config=configs/ssl3.py          # embedded corpus, minutes on 2 CPU cores
python -m sersl_jax.main --config=configs/ssl3.py:paper    # MSP-Face and CREMA-D, one GPU

The paper: 53.0 53.4 51.5 / 53.3 (macro precision, recall, F1 / micro).
"""

from ml_collections import ConfigDict

from sersl_jax import methods


def get_config(argument: str = "demo") -> ConfigDict:
    return methods.self_supervised("ssl3", argument)
