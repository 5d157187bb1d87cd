"""What the soak runs on: a provider simulator and a gateway of two workers with its own store, one account a user."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from benchmarks.compare.accounting import memory_of, name_of, tree
from benchmarks.compare.measure import STORES
from benchmarks.simulator import SimulatorProcess
from benchmarks.stand import GatewayStand

HONEST = "m@chunks-20@pace-20ms@in-100@mark-{user}"
"""The provider's name of an honest user's model: every answer has the user's name in every event."""
MODELS = {  # for the hostile: the client's name -> the provider, and its name with the simulator's controls
    "short": ("openai", "m"),
    "long": ("openai", "m@chunks-2000@size-1000@pace-10ms"),  # faster than providers are, slower than the simulator
    "big": ("openai", "m@fault-big@kib-400"),
    "claude": ("anthropic", "claude"),
}
_STATED = 'retention_days = 0\ntraining = false\nregion = "local"\n'
_PRICE = "price = { input = 1, output = 4, cache_read = 0.1, cache_write = 1.25 }"


class HostileStand(GatewayStand):
    """Use as a context manager; ``tokens`` are the users', by name."""

    def __init__(self, folder: Path, honest: list[str], hostile: list[str]) -> None:
        super().__init__(folder, (*honest, *hostile))
        self.sim = SimulatorProcess()
        self._honest = honest

    def config(self) -> str:
        self.sim.start()
        models = {**MODELS, **{user: ("openai", HONEST.format(user=user)) for user in self._honest}}
        lines = [
            '[server]\nhost = "127.0.0.1"\nport = 0\nworkers = 2\ndrain_timeout = 1\n',
            f'data_dir = "{self.folder}/data"\n',
            '[internal]\nport = 0\n[policy]\nsecrets = "restore"\n',
            *(
                f'[providers.{kind}]\nkind = "{kind}"\nbase_url = "{self.sim.url}"\napi_keys = ["k"]\n{_STATED}'
                for kind in ("openai", "anthropic")
            ),
            *(
                f'[[models]]\nname = "{name}"\ntargets = [{{ provider = "{kind}", model = "{target}" }}]\n{_PRICE}\n'
                for name, (kind, target) in models.items()
            ),
        ]
        return "".join(lines)

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self.sim.stop()

    def held(self) -> tuple[int, int]:
        """Bytes of memory and descriptors of the gateway's processes now, without its store."""
        memory = descriptors = 0
        for pid in tree(self.pid):
            if name_of(pid) not in STORES:
                memory += memory_of(pid).resident
                with suppress(OSError):  # it ended just now
                    descriptors += sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
        return memory, descriptors
