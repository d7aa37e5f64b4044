"""Password rules and argon2 hashes.  Passwords are never stored, logged or shown."""

import threading
from typing import NewType

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from fairlead.labels.errors import Invalid

PasswordHash = NewType("PasswordHash", str)

MIN_CHARS, MAX_CHARS = 10, 200
MAX_CONCURRENT = 4  # hashes at the same time; each needs 64 MiB of memory

_hasher = PasswordHasher()
_slots = threading.BoundedSemaphore(MAX_CONCURRENT)
# A hash that no password matches.  An unknown user takes as long to reject as a wrong password.
_DUMMY_HASH = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHRzb21lc2FsdA$" + "A" * 43


def hash_password(password: str, *, forbidden: tuple[str | None, ...] = ()) -> PasswordHash:
    """Hash a new password.

    Raises Invalid when the password has the wrong length, is easy to guess, or equals one of `forbidden`,
    such as the user's name.  Hashing is slow on purpose: call this before opening a write transaction.
    """
    if not MIN_CHARS <= len(password) <= MAX_CHARS:
        raise Invalid({"password": f"must have {MIN_CHARS} to {MAX_CHARS} characters"})
    if len(set(password)) < 4 or any(password.lower() == other.lower() for other in forbidden if other):
        raise Invalid({"password": "is too easy to guess; choose a longer or less regular one"})
    with _slots:
        return PasswordHash(_hasher.hash(password))


def verify_password(password: str, stored: str | None) -> bool:
    """Whether the password matches the stored hash.  Takes the same time when there is no hash."""
    with _slots:
        try:
            return _hasher.verify(stored or _DUMMY_HASH, password[: MAX_CHARS + 1]) and stored is not None
        except (VerificationError, InvalidHashError):
            return False
