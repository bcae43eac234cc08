"""Table 2, supervised: the same network without pre-training, 20 epochs.

python -m sersl_jax.main --config=configs/supervised.py          # embedded corpus
python -m sersl_jax.main --config=configs/supervised.py:paper    # CREMA-D, one GPU

The paper: 54.8 53.4 51.9 / 53.1 (macro precision, recall, F1 / micro).
"""

from ml_collections import ConfigDict

from sersl_jax import methods


def get_config(argument: str = "demo") -> ConfigDict:
    config = methods.defaults(argument)
    config.name = "supervised"
    config.stages = ("finetune",)
    config.finetune.init_from = ""
    config.finetune.epochs = 6 if argument == "demo" else 20  # Sec. 4.3
    return config
