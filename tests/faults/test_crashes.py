"""The crash matrix in short; `python -m tests.faults --kills=25 --disks=20` is the long one."""

import subprocess
import sys

from tests.conftest import REPOSITORY


def test_a_command_that_was_killed_ends_as_if_it_had_not_been():
    command = [sys.executable, "-m", "tests.faults", "--kills=4"]
    command += ["--only=prepare,relabel,overwrite,export,main=2"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
