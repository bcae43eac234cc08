"""What the docs name exists: files, functions, fields of the configuration, pages."""

import re
from dataclasses import is_dataclass
from pathlib import Path
from typing import get_type_hints

import pytest

from sersl_jax.config import Config

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "launch/README.md"])
PAGES.remove(ROOT / "CHANGELOG.md")  # tells of what is gone
ROOTS = (ROOT, ROOT / "sersl_jax")
page = pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


def find(name: str) -> Path | None:
    """The file of this name, below the repository or the package."""
    return next((root / name for root in ROOTS if (root / name).exists()), None)


def names_of(kind: type, prefix: str = "") -> set[str]:
    """Paths of all fields: `finetune`, `finetune.epochs` ..."""
    found = set()
    for name, type_ in get_type_hints(kind).items():
        path = f"{prefix}{name}"
        found |= {path}
        if is_dataclass(type_):
            found |= names_of(type_, f"{path}.")
    return found


def test_readme_is_one_page():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 150
    assert {"<!-- ci: run -->", "<!-- ci: test -->"} <= set(lines)


@page
def test_files_exist(path):
    named = re.findall(r"`([\w./-]+\.(?:py|md|sh|sbatch|yaml|toml))`", path.read_text())
    missing = [name for name in named if "/" in name and not find(name)]
    assert path.name == "extending.md" or not missing  # that page makes new files


@page
def test_functions_exist(path):
    named = re.findall(r"`([\w./]+\.py)` `(\w+)", path.read_text())
    missing = [
        f"{file}: {name}" for file, name in named if not re.search(rf"\b{name}\b", source(file))
    ]
    assert path.name == "extending.md" or not missing


def source(file: str) -> str:
    """A file's text; nothing where it does not exist."""
    found = find(file)
    return found.read_text() if found else ""


def test_the_tree_from_main_to_the_loss_exists():
    tree = (ROOT / "docs/architecture.md").read_text().split("## From `main`")[1].split("```")[1]
    folder, missing = "", []
    for line in tree.splitlines():
        if line.endswith("/"):
            folder = line
        for file, name in re.findall(r"([\w/]+\.py) +(?:(?:\w+\.)?(\w+))", line):
            text = source(folder + file) or source(file)
            missing += [] if re.search(rf"\b{name}\b", text) else [f"{folder}{file}: {name}"]
    assert folder == "reports/"
    assert not missing


@page
def test_fields_exist(path):
    text = path.read_text()
    named = set(re.findall(r"--config\.([a-z_.0-9]+)=", text))
    named |= set(re.findall(r"`((?:finetune|pretrain|data|model)\.[a-z_.0-9]+)[=`]", text))
    assert not named - names_of(Config)


@page
def test_links_lead_somewhere(path):
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text())
    missing = [link for link in links if not (path.parent / link).exists()]
    assert not missing
