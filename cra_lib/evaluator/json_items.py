"""A JSON object one key at a time, so that a file of any size needs the memory of one value."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from cra_lib.records import InputError, json_remedy, open_text, unique_keys

PIECE = 1 << 20
"""Characters read at once; more where one value is longer."""
EXPECTED = 'expected a JSON object with a key such as "4010069381_6" for each question'
_BLANK = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder(object_pairs_hook=unique_keys)


class _Reader:
    """A window onto the text: ``position`` is the next character of ``text`` to look at."""

    def __init__(self, file: TextIO):
        self.file, self.text, self.position = file, "", 0

    def more(self) -> bool:
        """Drop what was read and read on; False at the end of the file."""
        rest = self.text[self.position :]
        # As much again as is waiting: one long value is then not decoded from its start too often.
        piece = self.file.read(max(PIECE, len(rest)))
        self.text, self.position = rest + piece, 0
        return bool(piece)

    def next_character(self) -> str:
        """The next character that is not blank, without passing it; empty at the end."""
        while True:
            self.position = _BLANK.match(self.text, self.position).end()
            if self.position < len(self.text):
                return self.text[self.position]
            if not self.more():
                return ""

    def pass_one_of(self, characters: str) -> str:
        """Pass one of these characters, or raise as the decoder would."""
        found = self.next_character()
        if not found or found not in characters:
            raise json.JSONDecodeError(f"Expecting {' or '.join(characters)}", self.text,
                                       self.position)  # fmt: skip
        self.position += 1
        return found

    def value(self) -> Any:
        """The next value of any kind."""
        self.next_character()
        while True:
            try:
                value, end = _DECODER.raw_decode(self.text, self.position)
            except json.JSONDecodeError:
                if not self.more():
                    raise
                continue
            # A number at the end of the window may go on behind it.
            if end < len(self.text) or not self.more():
                self.position = min(end, len(self.text))
                return value


def json_items(path: Path) -> Iterator[tuple[str, Any]]:
    """Key and value of each entry of the object that a JSON file holds, in file order.

    Raises:
        InputError: the file cannot be read, is no JSON object, is empty or cut short, or gives a
            key twice; the sentence names the file and the key where it went wrong.
    """
    seen: set[str] = set()
    last = ""
    with open_text(path) as file:
        reader = _Reader(file)
        try:
            for key, value in _entries(reader, path):
                if key in seen:
                    raise InputError(f"key {key!r} is given twice; keep one.")
                seen.add(key)
                last = f" after key {key!r}"
                yield key, value
        except json.JSONDecodeError as error:
            remedy = json_remedy("{" + error.doc, _moved(error))
            raise InputError(f"{path}: not valid JSON{last} ({error.msg}); {remedy}") from None
        except InputError as error:
            raise InputError(f"{path}{last}: {error}") from None
        except (ValueError, RecursionError) as error:
            if isinstance(error, UnicodeDecodeError):
                raise
            raise InputError(f"{path}: not valid JSON{last} ({error}); correct it.") from None


def _entries(reader: _Reader, path: Path) -> Iterator[tuple[str, Any]]:
    start = reader.next_character()
    if start != "{":
        reader.value()  # raises where it is no JSON at all
        raise InputError(f"{EXPECTED}, got {'a list' if start == '[' else 'a bare value'}.")
    reader.position += 1
    if reader.next_character() == "}":
        raise InputError(f"{EXPECTED}; there is none.")
    while True:
        key = reader.value()
        if not isinstance(key, str):
            raise json.JSONDecodeError("Expecting a key in quotes", reader.text, reader.position)
        reader.pass_one_of(":")
        yield key, reader.value()
        if reader.pass_one_of(",}") == "}":
            break
    if reader.next_character():
        raise json.JSONDecodeError("Extra data", reader.text, reader.position)


def _moved(error: json.JSONDecodeError) -> json.JSONDecodeError:
    return json.JSONDecodeError(error.msg, "{" + error.doc, error.pos + 1)
