"""Table 3, SSL 4: both landmark tasks and action units.

python -m sersl_jax.main --config=configs/ssl4.py          # embedded corpus, minutes on 2 CPU cores
python -m sersl_jax.main --config=configs/ssl4.py:paper    # MSP-Face and CREMA-D, one GPU

The paper: 56.7 55.0 53.6 / 54.8 (macro precision, recall, F1 / micro).
"""

from ml_collections import ConfigDict

from configs import base


def get_config(argument: str = "demo") -> ConfigDict:
    return base.pretext(
        base.get_config(argument), "ssl4", ("upper_face", "lower_face", "action_units")
    )
