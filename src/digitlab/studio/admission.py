"""Admission: a class's key, which pupils are given, the cookie that it becomes, and the addresses it opens."""

from __future__ import annotations

import hashlib
import re
import secrets

from digitlab.serving.guard import digest, is_same

#: Where pupils open the page.
CLASS_PATH = "/class"
#: In an ASGI scope: the name of the room that belongs to whoever asks.
ROOM = "digitlab.room"

# Somebody may have to type it: no letters that look like others.
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
_KEY_LENGTH = 10
_SECRET = re.compile(r"[A-Za-z0-9_-]{32}")
# What a page is made of, and what only those find who know a key of its own. Not the teacher's page, runs or API.
_OPEN_TO_PUPILS = re.compile(rf"{CLASS_PATH}\Z|/_nicegui|/studio/|/read/|/rooms/|/favicon\.ico\Z")


class Admission:
    """Lets pupils in. ``key`` is what they show once, as ``?key=``; their cookie says in which room they belong.

    The key opens nothing else than ``CLASS_PATH`` and what that page is made of.
    """

    def __init__(self) -> None:
        self.key = ""
        self.renew()

    def renew(self) -> None:
        """Take another key: who has the old one, or came by it, is let in no more."""
        self.key = "".join(secrets.choice(_LETTERS) for _ in range(_KEY_LENGTH))
        self._session = secrets.token_urlsafe(24)

    def is_key(self, shown: str) -> bool:
        """Tell whether this is the key, however it was typed."""
        return is_same(re.sub(r"[\s-]", "", shown).lower(), digest(self.key))

    def cookie(self, before: str = "") -> str:
        """Return the cookie of somebody who has shown the key; with the room of the cookie that came before."""
        secret = before.rpartition(".")[2]
        return f"{self._session}.{secret if _SECRET.fullmatch(secret) else secrets.token_urlsafe(24)}"

    def room(self, cookie: str) -> str | None:
        """Return the name of the room that a cookie belongs to; None where it lets nobody in.

        The name says nothing of the cookie, so that it may be seen by others, and be a folder's.
        """
        session, _, secret = cookie.rpartition(".")
        if not is_same(session, digest(self._session)) or not _SECRET.fullmatch(secret):
            return None
        return hashlib.sha256(secret.encode()).hexdigest()[:16]


def is_for_pupils(path: str) -> bool:
    """Tell whether pupils may ask for an address.

    >>> is_for_pupils("/class"), is_for_pupils("/"), is_for_pupils("/api/read")
    (True, False, False)
    """
    return _OPEN_TO_PUPILS.match(path) is not None
