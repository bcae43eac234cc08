"""Licences and known flaws of all that the package needs: python -m tests.faults.supply.

The second part needs pip-audit and a network; it is left out, and said so, without them.
"""

import importlib.metadata as metadata
import re
import shutil
import subprocess
import sys
from collections import defaultdict


def main() -> int:
    found = tree("sersl_jax")
    by_licence = defaultdict(list)
    for name in sorted(found - {"sersl-jax"}):
        by_licence[licence(name)].append(f"{name} {metadata.version(name)}")
    for said, names in sorted(by_licence.items()):
        print(f"{len(names):>3} {said}: {', '.join(names)}")
    print(f"{len(found) - 1} distributions")
    if not shutil.which("pip-audit"):
        print("left out: known flaws (pip install pip-audit)")
        return 0
    pinned = "".join(f"{name}=={metadata.version(name)}\n" for name in found - {"sersl-jax"})
    command = [
        "pip-audit",
        "--no-deps",
        "--disable-pip",
        "--progress-spinner=off",
        "-r",
        "/dev/stdin",
    ]
    return subprocess.run(command, input=pinned, text=True, check=False).returncode


def tree(name: str) -> set[str]:
    """What is installed of a distribution's requirements and theirs, without extras."""
    found, left = set(), [name]
    while left:
        name = re.sub(r"[-_.]+", "-", left.pop()).lower()
        if name in found:
            continue
        try:
            requires = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # for another platform or Python
            continue
        found.add(name)
        left += [re.split(r"[^\w.-]", r, maxsplit=1)[0] for r in requires if "extra ==" not in r]
    return found


def licence(name: str) -> str:
    """As the distribution says it: expression, classifier, or the first line of its text."""
    told = metadata.metadata(name)
    classifiers = [c.split(" :: ")[-1] for c in told.get_all("Classifier", []) if "License ::" in c]
    text = (told["License"] or "").strip().splitlines()
    return told["License-Expression"] or ", ".join(classifiers) or (text or ["not said"])[0][:60]


if __name__ == "__main__":
    sys.exit(main())
