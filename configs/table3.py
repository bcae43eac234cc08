"""Table 3: all five ablations, pre-trained together as members of one program.

python -m sersl_jax.main --config=configs/table3.py
python -m sersl_jax.main --config=configs/table3.py:paper

The members differ in the weights of their tasks' losses alone. Each is a run of its own
afterwards: runs/table3/ssl1 ... ssl5, for `python -m sersl_jax.compare runs/table3/*`.
"""

from ml_collections import ConfigDict

from configs import base, ssl1, ssl2, ssl3, ssl4, ssl5


def get_config(argument: str = "demo") -> ConfigDict:
    config = base.get_config(argument)
    config.name = "table3"
    for row in (ssl1, ssl2, ssl3, ssl4, ssl5):
        config.pretrain.members.update(row.get_config(argument).pretrain.members)
    return config
