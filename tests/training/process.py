"""Programs in processes that are forked from one that has imported everything already."""

import importlib
import multiprocessing
import os
import sys
import tempfile
from multiprocessing.process import BaseProcess
from pathlib import Path

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.made_up", "tests.training.determinism"])
_logs: dict[str, Path] = {}


def start(module: str, *arguments: object, **environment: str) -> BaseProcess:
    """`python -m MODULE ARGUMENTS`; what it writes goes to a file."""
    handle, name = tempfile.mkstemp()
    os.close(handle)
    chosen = {**os.environ, "JAX_PLATFORMS": "cpu", **environment}
    process = _context.Process(target=_run, args=(name, chosen, module, *map(str, arguments)))
    process.start()
    _logs[process.name] = Path(name)
    return process


def finish(*processes: BaseProcess) -> None:
    """Waits; each must end well."""
    for process in processes:
        process.join(timeout=300)
        assert process.exitcode == 0, _logs[process.name].read_text()[-2000:]


def _run(log: str, environment: dict[str, str], module: str, *arguments: str) -> None:
    os.environ.update(environment)
    file = os.open(log, os.O_WRONLY)
    for number in (1, 2):
        os.dup2(file, number)
    sys.argv = [module, *arguments]
    for option in ("jax_platforms", "jax_cpu_collectives_implementation"):
        if option.upper() in environment:  # JAX, which is imported, has read them already
            import jax

            jax.config.update(option, environment[option.upper()])
    importlib.import_module(module).run()
