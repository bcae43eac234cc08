import subprocess
import sys

import psutil

PROGRAM = """
from sersl_jax.datasets.workers import process_map

if __name__ == "__main__":
    process_map(2)(print, ["a clip"] * 1000)
"""


def test_workers_that_are_still_starting_end_with_the_process_that_started_them(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    program = psutil.Popen([sys.executable, tmp_path / "program.py"], **quiet)
    children = []
    while len(children) < 3 and program.poll() is None:  # joblib's tracker and both workers
        children = program.children(recursive=True)
    assert program.poll() is None
    program.kill()
    program.wait()
    _, left = psutil.wait_procs(children, timeout=30)
    assert not left
