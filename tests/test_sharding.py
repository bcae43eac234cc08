import subprocess
import sys

import pytest


@pytest.mark.parametrize(("batch_sizes", "devices"), [((32,), 4), ((32, 12), 4), ((7, 32), 1)])
def test_cores_become_devices_that_divide_every_batch(batch_sizes, devices):
    program = f"""
import os
os.sched_getaffinity = lambda _: range(6)
import jax
from sersl_jax import sharding
sharding.use_cores(*{batch_sizes})
print(jax.device_count(), sharding.create_mesh(1, {batch_sizes[0]}).shape["data"])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.split() == [str(devices)] * 2, done.stderr
