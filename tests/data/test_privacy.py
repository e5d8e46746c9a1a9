"""Keys of persons. Oracle: HMAC-SHA256 as OpenSSL computes it."""

from __future__ import annotations

import pytest

from muscle.data.privacy import private_key


def test_the_key_is_an_hmac_under_the_salt(monkeypatch: pytest.MonkeyPatch) -> None:
    # printf 'kermany:person98' | openssl dgst -sha256 -hmac secret
    monkeypatch.setenv("MUSCLE_SALT", "secret")
    assert private_key("kermany:person98") == "23e5a7b9dcd92f6f1899"
    assert private_key("") == ""
    monkeypatch.setenv("MUSCLE_SALT", "other")
    assert private_key("kermany:person98") != "23e5a7b9dcd92f6f1899"
