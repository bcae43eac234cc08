"""What the package never does: run what it reads, or fetch what it lacks."""

import ast
import socket
from pathlib import Path

import pytest

import sersl_jax
from sersl_jax.features import llds

PACKAGE = Path(sersl_jax.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
NEVER_IMPORTED = {
    "pickle", "marshal", "shelve", "dill", "cloudpickle", "urllib", "http", "ftplib", "requests",
    "httpx", "aiohttp", "smtplib", "telnetlib", "xmlrpc", "huggingface_hub", "pooch",
}  # fmt: skip
NEVER_CALLED = {"eval", "exec", "compile", "__import__", "system", "popen"}
OF_SOCKETS = {"socketpair", "gethostname"}


def nodes(kind: type) -> list[tuple[Path, ast.AST]]:
    trees = [(path, ast.parse(path.read_text(encoding="utf-8"))) for path in MODULES]
    return [
        (path, node) for path, tree in trees for node in ast.walk(tree) if isinstance(node, kind)
    ]


def test_nothing_that_unpickles_or_downloads_is_imported():
    found = [(path, alias.name) for path, node in nodes(ast.Import) for alias in node.names]
    found += [(path, node.module or "") for path, node in nodes(ast.ImportFrom)]
    assert len(found) > 500
    assert [one for one in found if one[1].split(".")[0] in NEVER_IMPORTED] == []


def test_nothing_that_is_read_is_run():
    for path, call in nodes(ast.Call):
        name = call.func.id if isinstance(call.func, ast.Name) else ""
        if isinstance(call.func, ast.Attribute):
            name = call.func.attr if call.func.attr in ("system", "popen") else ""
        assert name not in NEVER_CALLED, f"{path}:{call.lineno}"
        said = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        assert said.get("allow_pickle", "False") == "False", f"{path}:{call.lineno}"
        assert said.get("shell", "False") == "False", f"{path}:{call.lineno}"


def test_sockets_serve_signals_and_names_alone():
    for path, node in nodes(ast.Attribute):
        if isinstance(node.value, ast.Name) and node.value.id == "socket":
            assert node.attr in OF_SOCKETS, f"{path}:{node.lineno}"


def test_the_suite_reaches_no_other_computer():
    with socket.socket() as probe, pytest.raises(AssertionError, match="connects to"):
        probe.connect(("192.0.2.1", 80))  # RFC 5737: nobody has it


def test_another_opensmile_is_told(monkeypatch):
    from opensmile.core.lib import OpenSMILE

    monkeypatch.setattr(OpenSMILE, "initialize", lambda *_: None)
    with pytest.raises(RuntimeError, match=r"pin opensmile>=2.5,<3"):
        llds._create(0.06)
