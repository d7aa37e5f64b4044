"""Passwords: what is accepted, and their argon2 digests.  A password is never stored, logged or shown."""

import threading
from typing import NewType

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from fairlead.labels.errors import Invalid

Digest = NewType("Digest", str)

SHORTEST, LONGEST = 10, 200
AT_ONCE = 4  # each takes 64 MiB for a moment, so a crowd that logs in takes turns

_hasher = PasswordHasher()
_turns = threading.BoundedSemaphore(AT_ONCE)
# Of no password.  Somebody who is not there takes as long to refuse as somebody who is.
_NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHRzb21lc2FsdA$" + "A" * 43


def hashed(password: str, *, not_these: tuple[str | None, ...] = ()) -> Digest:
    """Raises Invalid where the password is too short, too long, or one of `not_these` (a name, an e-mail address).

    Slow on purpose, so it is computed before a transaction that writes.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise Invalid({"password": f"needs {SHORTEST} to {LONGEST} characters"})
    if len(set(password)) < 4 or any(password.lower() == other.lower() for other in not_these if other):
        raise Invalid({"password": "is too easily guessed"})
    with _turns:
        return Digest(_hasher.hash(password))


def right(password: str, stored: str | None) -> bool:
    with _turns:
        try:
            return _hasher.verify(stored or _NOBODY, password[: LONGEST + 1]) and stored is not None
        except (VerificationError, InvalidHashError):
            return False
