"""A gateway of two workers with its own store, a provider over TLS that speaks all three APIs, one account a user."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.simulator import SimulatorProcess, make_certificates
from benchmarks.soak.traffic import Sold
from benchmarks.stand import GatewayStand

KINDS = ("openai", "anthropic", "google")
TYPING = (Sold("completion", "openai", 60, 30, "@first-30ms@pace-10ms"),)
CHATTING = (
    Sold("gpt", "openai", 100, 20, "@first-20ms@pace-5ms"),
    Sold("claude", "anthropic", 120, 24, "@first-20ms@pace-5ms"),
    Sold("gemini", "google", 90, 16, "@first-20ms@pace-5ms"),
)
_STATED = 'api_keys = ["k"]\nretention_days = 0\ntraining = false\nregion = "local"\ncompany = "acme"\n'
_PRICE = "price = { input = 1, output = 4, cache_read = 0.1, cache_write = 1.25 }"


class SoakStand(GatewayStand):
    """Use as a context manager."""

    def __init__(self, folder: Path, users: Iterable[str], models: Sequence[Sold] = (*TYPING, *CHATTING)) -> None:
        super().__init__(folder, users)
        self.certificates = make_certificates(folder / "tls")
        self.provider = SimulatorProcess(tls=self.certificates)
        self.models = models

    def config(self) -> str:
        self.provider.start()
        return self.settings() + self.served({"": self.provider.url})

    def settings(self, **server: float) -> str:
        """The tables that are about the gateway itself; ``server`` is added to the one of that name."""
        more = "".join(f"{name} = {value}\n" for name, value in server.items())
        return (
            f'[server]\nhost = "127.0.0.1"\nport = 0\nworkers = 2\ndrain_timeout = 20\n{more}'
            f'data_dir = "{self.folder}/data"\n[internal]\nport = 0\n'
        )

    def served(self, urls: dict[str, str]) -> str:
        """Providers of each API at these addresses, by a prefix of their names, and the models.

        A model that is spared has all of them as targets, in this order; any other one has the first.
        """
        parts = [
            f'[providers.{prefix}{kind}]\nkind = "{kind}"\nbase_url = "{url}"\n{_STATED}'
            f'ca_file = "{self.certificates.ca_file}"\n'
            for prefix, url in urls.items()
            for kind in KINDS
        ]
        for model in self.models:
            prefixes = list(urls) if model.spare else list(urls)[:1]
            targets = ", ".join(
                f'{{ provider = "{prefix}{model.kind}", model = "{model.target}" }}' for prefix in prefixes
            )
            parts.append(f'[[models]]\nname = "{model.name}"\ntargets = [{targets}]\n{_PRICE}\n')
        return "".join(parts)

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self.provider.stop()
