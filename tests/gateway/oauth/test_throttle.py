"""Every OAuth endpoint bounds what one network may have the store do: none is left out, and no valid secret is refused."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.auth import attempts
from gateway.auth.principal import Denial
from gateway.oauth import endpoints, paths, refresh
from gateway.oauth.device import PollDenied
from gateway.oauth.endpoints import OAuth, OAuthError
from gateway.oauth.refresh import RefreshDenied

WRONG = f"{refresh.REFRESH_PREFIX}{'s' * 20}_{'x' * 54}"
FORMS = {
    "a device code": (paths.TOKEN, {"grant_type": paths.DEVICE_GRANT, "device_code": "wrong"}),
    "a refresh token": (paths.TOKEN, {"grant_type": "refresh_token", "refresh_token": WRONG}),
    "a token to revoke": (paths.REVOCATION, {"token": "wrong"}),
}
BOUNDED_OTHERWISE = {paths.DEVICE_AUTHORIZATION}  # `StartedGrants`


class Store:
    """Counts the look-ups that are under way at once."""

    def __init__(self) -> None:
        self.running = self.most = 0

    async def look_up(self, found: object) -> object:
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0.001)
        self.running -= 1
        return found


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    store = Store()

    def answers(found: object) -> Any:
        async def look_up(*_arguments: object, **_named: object) -> object:
            return await store.look_up(found)

        return look_up

    monkeypatch.setattr(endpoints, "lookup", answers(Denial.TOKEN_INVALID))
    monkeypatch.setattr(endpoints.device, "poll", answers(PollDenied.INVALID_GRANT))
    monkeypatch.setattr(endpoints.refresh, "rotate", answers(RefreshDenied.INVALID))
    return store


@pytest.fixture
def oauth() -> OAuth:
    config: Any = SimpleNamespace(server=SimpleNamespace(behind_tls_proxy=False), oauth=SimpleNamespace(clients={}))
    opened: Any = SimpleNamespace(store=SimpleNamespace(client=None), key=b"k" * 32, journal=None)
    shares: Any = SimpleNamespace()
    return OAuth(opened, shares, config)


def caller(address: str) -> Any:
    return SimpleNamespace(remote=address, headers={}, transport=None)


def test_every_endpoint_is_here(oauth: OAuth) -> None:
    assert set(oauth._posts) == {path for path, _ in FORMS.values()} | BOUNDED_OTHERWISE


@pytest.mark.parametrize("what", FORMS)
async def test_many_wrong_ones_are_looked_up_one_at_a_time(what: str, oauth: OAuth, store: Store) -> None:
    path, form = FORMS[what]

    async def ask(address: str = "192.0.2.1") -> object:
        try:
            return await oauth._posts[path](caller(address), {"client_id": paths.CLIENT, **form})
        except OAuthError as error:
            return error.code

    answers = await asyncio.gather(*(ask() for _ in range(attempts.FAILED_LOOK_UPS)))
    assert store.most > 1
    store.most = 0
    answers += await asyncio.gather(*(ask() for _ in range(50)))
    assert store.most == 1
    await asyncio.gather(*(ask("198.51.100.1") for _ in range(5)))
    assert store.most == 5  # another network does not wait
    assert answers.count(answers[0]) == len(answers)  # nobody is refused
