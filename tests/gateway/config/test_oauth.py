from __future__ import annotations

import pytest

from tests.gateway.config.parsing import fault, parse


def test_clients_are_named() -> None:
    assert parse('[oauth.clients.my-editor]\ntitle = "My Editor"\n').oauth.clients["my-editor"].title == "My Editor"
    assert parse("[oauth.clients.plain]\n").oauth.clients["plain"].title == "plain"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[oauth.clients."A B"]\n', "oauth.clients.A B: is not a client id"),
        ("[oauth]\nclient = 1\n", "oauth.client: "),
    ],
)
def test_what_is_no_client(text: str, key: str) -> None:
    assert fault(text).startswith(key)
