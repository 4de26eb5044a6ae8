"""Does a Python have what this project needs? Standard library only, and nothing is imported.

    python workflow/environment.py [GROUP ...]

reads the version ranges of pyproject.toml (and of its optional groups, such as `full dev`),
compares them with what is installed, and prints the first mismatch. Exit status 0 or 1.
"""

from __future__ import annotations

import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def release(version: str) -> tuple[int, ...]:
    """The numbers of a version, without pre-release and local parts or trailing zeros.

    >>> release("2.15.0+cu130"), release("3.8")
    ((2, 15), (3, 8))
    """
    numbers = [int(n) for n in re.match(r"\d+(?:\.\d+)*", version)[0].split(".")]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def satisfies(version: str, ranges: str) -> bool:
    """Whether a version lies in ranges such as ``>=2.11,<2.16`` (the operators we use).

    >>> satisfies("2.15.0", ">=2.11,<2.16"), satisfies("2.16", ">=2.11,<2.16")
    (True, False)
    """
    for bound in filter(None, ranges.split(",")):
        operator, limit = re.fullmatch(r"\s*(>=|<|==)\s*(\S+)\s*", bound).groups()
        have, want = release(version), release(limit)
        if not {">=": have >= want, "<": have < want, "==": have == want}[operator]:
            return False
    return True


def mismatches(requirements: list[str]) -> list[str]:
    """One sentence for each requirement that is not installed, or outside its range."""
    problems = []
    for requirement in requirements:
        name, ranges = re.fullmatch(r"([\w.-]+)(.*)", requirement).groups()
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            problems.append(f"{name} is not installed")
            continue
        if not satisfies(version, ranges):
            problems.append(f"{name} is {version}, needed: {ranges}")
    return problems


def main(groups: list[str]) -> int:
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    python = ".".join(map(str, sys.version_info[:3]))
    if not satisfies(python, project["requires-python"]):
        print(f"Python {python} is outside {project['requires-python']}")
        return 1
    requirements = list(project["dependencies"])
    for group in groups:
        requirements += project["optional-dependencies"][group]
    problems = mismatches(requirements)
    print("\n".join(problems), end="\n" if problems else "")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
