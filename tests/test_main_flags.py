"""What commands say of wrong flags and fields, before they do anything, and when cut short."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--config=configs/ssl1.py", "--config.finetune.nmu_splits=3"], "nmu_splits"),
        (["--config=configs/ssl1.py", "--config.finetune.num_splits=x"], "num_splits"),
        (["--config=configs/nothing.py"], "configs/nothing.py"),
        (["--config=configs/nothing.py", "--config.seed=1"], "configs/nothing.py"),
        (["--config=configs/ssl1.py:papr"], "config argument 'papr' is neither demo nor paper"),
        (["--config=configs/ssl1.py", "--nonsense=1"], "nonsense"),
        (["--config=configs/ssl1.py", "--config.stages=('finetun',)"], "config.stages.0='finetun'"),
        (["--config=configs/ssl1.py:paper", "--config.finetune.epochs=0"], "finetune.epochs=0"),
        (["--config", "configs/ssl1.py", "--config.data.dtype=float16"], "data.dtype='float16'"),
        ([], "--config is missing"),
    ],
)
def test_a_wrong_flag_is_one_line_without_a_traceback(arguments, said):
    done = start_main(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_commands_import_little_before_their_flags_are_read():
    commands = [
        f"sersl_jax.{path.stem}"
        for path in (REPOSITORY / "sersl_jax").glob("*.py")
        if "cli.run(" in path.read_text()
    ]
    assert len(commands) >= 7
    code = (
        f"import sys, {', '.join(commands)}; print({{'jax', 'pandas', 'scipy'}} & {{*sys.modules}})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_config_with_a_space_from_another_directory(tmp_path):
    for argument in ("", ":paper"):
        field = "--config.pretrain.batch_size=0"  # so that it ends once the config is read
        done = start_main(
            "--config", f"{REPOSITORY}/configs/ssl1.py{argument}", field, cwd=tmp_path
        )
        assert "error: config.pretrain.batch_size=0 should be" in done.stderr


def test_a_wrong_method_is_named_before_anything_is_prepared(tmp_path):
    config = tmp_path / "own.py"
    config.write_text(
        "from sersl_jax import methods\n"
        "def get_config(argument='demo'):\n"
        "    config = methods.defaults(argument)\n"
        "    config.name = 'own'\n"
        "    config.pretrain.members = {'own': {'nrg': 1.0}}\n"
        "    return config\n"
    )
    data_dir = f"--config.data.data_dir={tmp_path}/data"
    done = start_main(f"--config={config}", data_dir, cwd=tmp_path)
    assert "error: config.pretrain.members.own names nrg: take some of energy" in done.stderr
    assert {path.name for path in tmp_path.iterdir()} <= {"own.py", "__pycache__"}


def test_a_reader_that_has_seen_enough_ends_a_command_in_silence():
    code = "from sersl_jax import cli; cli.run(lambda _: print('a line'))"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


def start_main(*arguments, cwd=REPOSITORY):
    whole = [sys.executable, "-m", "sersl_jax.main", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(
        whole, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def test_ctrl_c_is_no_traceback():
    code = "from sersl_jax import cli\ndef main(_): raise KeyboardInterrupt\ncli.run(main)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


def test_sigterm_ends_one_of_several_processes_before_it_trains():
    """JAX's coordination would take note of it and go on."""
    program = (
        "import os, signal, time; from sersl_jax import main; assert main._join_processes(); "
        "os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    one = {"SERSL_COORDINATOR": address, "SERSL_PROCESSES": "1", "SERSL_PROCESS": "0"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env={**os.environ, **one}, cwd=REPOSITORY, timeout=50)
    assert done.returncode == -signal.SIGTERM
