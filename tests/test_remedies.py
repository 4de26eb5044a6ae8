"""Every command and option that a message or a page names exists in the place where it is read."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from cra_lib.cli import app

ROOT = Path(__file__).resolve().parent.parent
LIB = ROOT / "cra_lib"
MODULES = sorted(LIB.rglob("*.py"))
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "results" / "README.md"]
COMMANDS = typer.main.get_command(app)
SCRIPT = (ROOT / "reproduce.sh").read_text(encoding="utf-8")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
OTHERS = {"--local-dir", "--made"}
"""What is no option of ours: of `hf download`, and the word that parts a notebook's files."""


def options_of(command) -> set[str]:
    """Options of a command, those of its subcommands included."""
    own = {o for p in command.params for o in (*p.opts, *p.secondary_opts) if o.startswith("--")}
    for below in getattr(command, "commands", {}).values():
        own |= options_of(below)
    return own | {"--help"}


REPRODUCE = options_of(COMMANDS.commands["reproduce"])


def problem_of(words: list[str]) -> str:
    """What does not exist in a command line that starts with `cra`; empty for a good one."""
    for word in words[1:]:
        if "|" in word:  # alternatives
            place = words.index(word)
            each = [words[:place] + [one] + words[place + 1 :] for one in word.split("|")]
            return next(filter(None, map(problem_of, each)), "")
    command, rest = COMMANDS, words[1:]
    while rest and hasattr(command, "commands") and not rest[0].startswith("-"):
        if rest[0] not in command.commands:
            return f"no command {rest[0]!r}"
        command, rest = command.commands[rest[0]], rest[1:]
    given = {word.partition("=")[0] for word in rest if word.startswith("--")}
    unknown = given - options_of(command)
    return f"no option {sorted(unknown)}" if unknown else ""


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of every string of a module; the gaps of an f-string read as words."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {id(v) for n in ast.walk(tree) if isinstance(n, ast.JoinedStr) for v in n.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [v.value if isinstance(v, ast.Constant) else "WORD" for v in node.values]
            yield node.lineno, "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in inside:
                yield node.lineno, node.value


def commands_in(text: str) -> Iterator[list[str]]:
    """Command lines in backticks that start with cra or ./reproduce.sh."""
    for line in re.findall(r"`([^`]+)`", text):
        words = line.split()
        if words and words[0] in ("cra", "./reproduce.sh"):
            yield words


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(LIB)))
def test_messages_name_commands_that_exist(path):
    for line, text in texts(path):
        for words in commands_in(text):
            problem = problem_of(words) if words[0] == "cra" else _script_problem(words[1:])
            assert not problem, f"{path.name}, line {line}: {problem} in {' '.join(words)!r}"


def _script_problem(words: list[str]) -> str:
    if words and words[0] in ("setup", "test", "check", "lint", "bench"):
        return "" if f"{words[0]} |" in SCRIPT or f"| {words[0]}" in SCRIPT else "no command"
    unknown = {word.partition("=")[0] for word in words if word.startswith("--")} - REPRODUCE
    return f"no option {sorted(unknown)}" if unknown else ""


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(LIB)))
def test_bare_options_work_wherever_the_message_appears(path):
    """The library speaks through commands, notebooks and ./reproduce.sh: what it calls by an
    option alone must be one of ./reproduce.sh; else the command has to be named with it."""
    allowed = set(REPRODUCE) | OTHERS
    if path.parent in (LIB / "cli", LIB / "evaluator"):  # scoring is reached by commands alone
        allowed |= options_of(COMMANDS)
    for line, text in texts(path):
        if text.startswith("--") and " " not in text:  # an option's declaration, or a worker's
            continue
        bare = OPTION.findall(re.sub(r"`[^`]+`|var\(--[\w-]+", "", text))
        unknown = set(bare) - allowed
        assert not unknown, f"{path.name}, line {line}: {sorted(unknown)} in {text!r}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_pages_name_commands_that_exist(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    for words in commands_in(text):
        problem = problem_of(words) if words[0] == "cra" else _script_problem(words[1:])
        assert not problem, f"{page.name}: {problem} in {' '.join(words)!r}"
