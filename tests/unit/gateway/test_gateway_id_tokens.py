"""ID tokens of an OpenID provider: the one that is good, and every one that is wrong in one thing."""

import base64
import json
import time
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from signalbox_gateway.identity.oidc import id_tokens
from signalbox_gateway.identity.oidc.id_tokens import IdTokenRefused, KeyNotKnown, Person
from signalbox_gateway.identity.oidc.linking import candidates

ISSUER, CLIENT, NONCE = "https://id.example", "signalbox", "n" * 43
KEY = ECKey.generate_key("P-256", {"kid": "one", "use": "sig"})
OTHER = ECKey.generate_key("P-256", {"kid": "one", "use": "sig"})
KEYS = id_tokens.public_keys({"keys": [KEY.as_dict(private=False)]})


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    made = {"iss": ISSUER, "sub": "s-1", "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": NONCE, **changes}
    return {name: value for name, value in made.items() if value is not None}


def token(key: Any = KEY, *, alg: str = "ES256", kid: str | None = "one", **changes: Any) -> str:
    header = {"alg": alg} | ({"kid": kid} if kid else {})
    return jwt.encode(header, claims(**changes), key, algorithms=[alg])


def check(text: str) -> Any:
    return id_tokens.check(text, KEYS, issuer=ISSUER, client_id=CLIENT, nonce=NONCE)


def test_a_good_token_names_its_person() -> None:
    found = check(token(email="a@b.example", email_verified=True, preferred_username="ann"))
    assert id_tokens.person(ISSUER, found) == Person(ISSUER, "s-1", username="ann", email="a@b.example")
    assert check(token(kid=None)), "one key needs no name"
    assert check(token(aud=[CLIENT, "other"], azp=CLIENT))


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://evil.example"}, {"aud": "another"}, {"aud": ["another"]}, {"aud": [CLIENT, "other"]},
        {"azp": "another"}, {"exp": 1}, {"exp": None}, {"iat": None}, {"nonce": "m" * 43}, {"nonce": None},
        {"nonce": 5}, {"sub": None}, {"aud": None}, {"iss": None}, {"nbf": int(time.time()) + 3600},
    ],
)  # fmt: skip
def test_a_token_with_one_wrong_claim_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(IdTokenRefused):
        check(token(**changes))


def test_a_token_that_the_provider_did_not_sign_is_refused() -> None:
    head, body, signature = token().split(".")
    none = base64.urlsafe_b64encode(json.dumps({"alg": "none", "kid": "one"}).encode()).decode().rstrip("=")
    shared = OctKey.import_key(json.dumps(KEY.as_dict(private=False)).encode())
    attacks = (
        token(OTHER), f"{none}.{body}.", f"{none}.{body}.{signature}", f"{head}.{body}.", "a.b.c", "", "x" * 20_000,
        token(shared, alg="HS256"), f"{head}.{body[:-2]}AA.{signature}",
    )  # fmt: skip
    for attack in attacks:
        with pytest.raises(IdTokenRefused):
            check(attack)


def test_a_key_that_is_not_known_is_not_the_same_as_a_bad_token() -> None:
    """After a rotation the keys are fetched again, and only then is the token refused."""
    with pytest.raises(KeyNotKnown):
        check(token(kid="two"))


def test_keys_that_cannot_be_read_spoil_no_other_key() -> None:
    good = RSAKey.generate_key(2048, {"kid": "rsa"}).as_dict(private=False)
    odd: list[Any] = [{"kty": "AKP"}, {"kty": "RSA"}, 7, None, {"kty": "oct", "k": "AAAA"}, {**good, "use": "enc"}]
    assert [key.kid for key in id_tokens.public_keys({"keys": [*odd, good]})] == ["rsa"]
    shapes: list[Any] = [None, [], {"keys": "x"}, {}]
    for broken in shapes:
        assert id_tokens.public_keys(broken) == []


@pytest.mark.parametrize("subject", [None, 5, "", "x" * 256, "a\nb"])
def test_a_person_without_a_usable_subject_is_refused(subject: Any) -> None:
    with pytest.raises(IdTokenRefused, match="no subject"):
        id_tokens.person(ISSUER, {"sub": subject})


def test_an_address_that_is_not_verified_is_not_taken() -> None:
    for verified in (None, False, "true", 1):
        assert id_tokens.person(ISSUER, {"sub": "s", "email": "a@b.example", "email_verified": verified}).email == ""


@pytest.mark.parametrize(
    ("person", "first"),
    [
        (Person(ISSUER, "s", username="ann"), "ann"), (Person(ISSUER, "s", email="b.c@x.example"), "b.c"),
        (Person(ISSUER, "s", name="Žofie Nová"), "ofie-Nov"), (Person(ISSUER, "s", username="../.."), "user"),
        (Person(ISSUER, "s", username="x" * 200), "x" * 55), (Person(ISSUER, "s"), "user"),
    ],
)  # fmt: skip
def test_a_name_for_the_account_is_a_username_whatever_the_provider_writes(person: Person, first: str) -> None:
    names = list(candidates(person))
    assert names[0] == first
    assert all(1 <= len(name) <= 64 for name in names)
    assert len(set(names)) == len(names)
