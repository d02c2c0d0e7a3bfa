"""Multipart: the files of a form, taken apart in memory; nothing is written to disk."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from digitlab.errors import DataError

__all__ = ["File", "files_of"]

_MOST_NAME = 200
# What is wrong with a form is told to who sent it; without this, Python would print it, too.
logging.getLogger("python_multipart").addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class File:
    """One file of a form: its name without folders, for people only, and what is in it."""

    name: str
    content: bytes


class _Parts:
    """What the parser calls: collects the parts' headers and contents."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.files: list[File] = []
        self.is_complete = False
        self._header = self._value = b""
        self._disposition = b""
        self._content = bytearray()

    def on_part_begin(self) -> None:
        if len(self.files) >= self.most:
            raise DataError(f"The form has more than {self.most:,} files. Send fewer at a time.")
        self._header = self._value = self._disposition = b""
        self._content = bytearray()

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._content += data[start:end]

    def on_part_end(self) -> None:
        _, options = parse_options_header(self._disposition)
        field = options.get(b"name", b"").decode("utf-8", "replace")
        if b"filename" not in options and field != "file":
            raise DataError(
                f"The part {field[:_MOST_NAME]!r} of the form is no file. Send files only, with curl: "
                "-F file=@digit.png; options belong into the address."
            )
        name = options.get(b"filename", b"").decode("utf-8", "replace").replace("\\", "/").rpartition("/")[2]
        self.files.append(File(name[:_MOST_NAME] or "image", bytes(self._content)))
        self._content = bytearray()

    def on_end(self) -> None:
        self.is_complete = True


_CALLED = tuple(name for name in vars(_Parts) if name.startswith("on_"))


def files_of(body: bytes, content_type: str, most: int) -> list[File]:
    """Take a form apart.

    Parameters
    ----------
    body : bytes
        What was sent.
    content_type : str
        The header of that name, which has the boundary.
    most : int
        Files at most.

    Raises
    ------
    DataError
        If it is no complete form, has no file, has too many, or something that is no file.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise DataError("The form has no boundary in its Content-Type. Let your client set that header.")
    parts = _Parts(most)
    callbacks = {name: getattr(parts, name) for name in _CALLED}
    try:
        parser = MultipartParser(boundary, callbacks)  # type: ignore[arg-type]
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise DataError(f"The form cannot be read: {str(error).rstrip('.')}. Send it again.") from None
    if not parts.is_complete:
        raise DataError("The form ends before its last boundary. Send it again.")
    if not parts.files:
        raise DataError("The form has no file. Send one at least, with curl: -F file=@digit.png")
    return parts.files
