from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.errors import (
    CreditsExhausted,
    GatewayError,
    MethodNotAllowed,
    RetentionUnavailable,
    TokenExpired,
    Unavailable,
)


def tree(kind: type[GatewayError] = GatewayError) -> Iterator[type[GatewayError]]:
    yield kind
    for branch in kind.__subclasses__():
        yield from tree(branch)


def made(kind: type[GatewayError]) -> GatewayError:
    if kind is CreditsExhausted:
        return CreditsExhausted(needed=3, held=2, available=1)
    if kind is MethodNotAllowed:
        return MethodNotAllowed("POST")
    if kind is RetentionUnavailable:
        return RetentionUnavailable(limit=0, least=30)
    return kind()


@pytest.mark.parametrize("kind", list(tree()), ids=lambda kind: kind.__name__)
def test_the_exception_itself_carries_the_code_and_no_text(kind: type[GatewayError]) -> None:
    assert made(kind).args == (kind.code,)


@pytest.mark.parametrize("kind", list(tree()), ids=lambda kind: kind.__name__)
def test_every_error_has_a_sentence_for_its_caller(kind: type[GatewayError]) -> None:
    error = made(kind)
    assert 400 <= error.status < 600
    assert error.message.endswith(".")


def test_one_code_has_one_status() -> None:
    seen: dict[str, int] = {}
    for kind in tree():
        if "code" in vars(kind):
            assert seen.setdefault(kind.code, kind.status) == kind.status


def test_what_is_unavailable_says_when_to_come_back() -> None:
    assert all(made(kind).retry_after for kind in tree(Unavailable))


@pytest.mark.parametrize("retry_after", [None, 5.0])
def test_credits_are_told_in_numbers_and_waited_for_only_if_they_come_back(retry_after: float | None) -> None:
    error = CreditsExhausted(needed=30, held=20, available=10, retry_after=retry_after)
    assert error.headers == {"x-credits-needed": "30", "x-credits-held": "20", "x-credits-available": "10"}
    assert (error.should_retry, error.retry_after) == (retry_after is not None, retry_after)
    assert not any(character.isdigit() for character in error.message)


def test_a_401_names_its_code_in_the_challenge() -> None:
    assert TokenExpired().headers["WWW-Authenticate"] == (
        'Bearer error="invalid_token", error_description="token_expired"'
    )
