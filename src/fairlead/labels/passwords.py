"""Passwords: what is accepted, and their argon2 digests.  A password is never stored, logged or shown."""

import threading
from typing import NewType

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from fairlead.labels.errors import Invalid

PasswordHash = NewType("PasswordHash", str)

MIN_CHARS, MAX_CHARS = 10, 200
MAX_CONCURRENT = 4  # each takes 64 MiB for a moment, so a crowd that logs in takes turns

_hasher = PasswordHasher()
_slots = threading.BoundedSemaphore(MAX_CONCURRENT)
# Of no password.  Somebody who is not there takes as long to refuse as somebody who is.
_DUMMY_HASH = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHRzb21lc2FsdA$" + "A" * 43


def hash_password(password: str, *, forbidden: tuple[str | None, ...] = ()) -> PasswordHash:
    """Raises Invalid where the password is too short, too long, or one of `forbidden` (a name, an e-mail address).

    Slow on purpose, so it is computed before a transaction that writes.
    """
    if not MIN_CHARS <= len(password) <= MAX_CHARS:
        raise Invalid({"password": f"needs {MIN_CHARS} to {MAX_CHARS} characters"})
    if len(set(password)) < 4 or any(password.lower() == other.lower() for other in forbidden if other):
        raise Invalid({"password": "is too easily guessed"})
    with _slots:
        return PasswordHash(_hasher.hash(password))


def verify_password(password: str, stored: str | None) -> bool:
    with _slots:
        try:
            return _hasher.verify(stored or _DUMMY_HASH, password[: MAX_CHARS + 1]) and stored is not None
        except (VerificationError, InvalidHashError):
            return False
