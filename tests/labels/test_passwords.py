"""What a hash costs where people work.  All other tests hash passwords at the least cost: see conftest.py."""

import argon2
import pytest

from fairlead.labels import passwords

PASSWORD = "correct horse battery"


def test_a_hash_costs_what_rfc_9106_recommends_also_for_somebody_unknown(
    real_passwords: tuple[argon2.PasswordHasher, str],
) -> None:
    hasher, of_nobody = real_passwords
    cost = argon2.extract_parameters(hasher.hash(PASSWORD))
    assert cost == argon2.extract_parameters(of_nobody)  # unknown users are rejected after the same time
    assert (cost.type, cost.memory_cost, cost.time_cost) == (argon2.Type.ID, 64 * 1024, 3)


def test_a_password_is_verified_at_the_real_cost(
    real_passwords: tuple[argon2.PasswordHasher, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hasher, of_nobody = real_passwords
    monkeypatch.setattr(passwords, "_hasher", hasher)
    monkeypatch.setattr(passwords, "_DUMMY_HASH", of_nobody)
    stored = passwords.hash_password(PASSWORD)
    assert passwords.verify_password(PASSWORD, stored)
    assert not passwords.verify_password("correct horse", stored)
    assert not passwords.verify_password(PASSWORD, None)
