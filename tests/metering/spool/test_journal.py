from metering.ledger.ledger import Ledger
from metering.ledger.types import LedgerUnavailable
from metering.settlement.settler import Settler
from metering.spool.journal import FileJournal
from metering.spool.replay import Replay
from metering.spool.spool import Spool
from metering.store.epoch import Epoch


async def test_a_gateway_of_the_host_applies_what_was_noted(store, tmp_path):
    folder = tmp_path / "spool"
    FileJournal(folder).erased("p1", ["u:one", "u:two"])
    FileJournal(folder).revoked("session")
    erased, revoked = [], []

    async def on_erased(pid, names):
        erased.append((pid, list(names)))

    async def on_revoked(name):
        revoked.append(name)

    spool, epoch = Spool(folder), Epoch(store)
    await epoch.look()
    replay = Replay(spool, Settler(Ledger(store)), epoch, on_erased=on_erased, on_revoked=on_revoked)
    await replay.turn()
    assert erased == [("p1", ["u:one", "u:two"])]
    assert revoked == ["session"]
    await replay.turn()
    assert len(erased) == len(revoked) == 1
    await replay.everything_soon()  # the store may have lost it
    await replay.turn()
    assert len(erased) == len(revoked) == 2
    await spool.close()


async def test_what_could_not_be_applied_is_tried_again(store, tmp_path):
    FileJournal(tmp_path / "spool").erased("p1", [])
    answers = [LedgerUnavailable(maybe_ran=True), None]
    tried = []

    async def on_erased(pid, names):
        tried.append((pid, list(names)))
        if (answer := answers.pop(0)) is not None:
            raise answer

    spool, epoch = Spool(tmp_path / "spool"), Epoch(store)
    await epoch.look()
    replay = Replay(spool, Settler(Ledger(store)), epoch, on_erased=on_erased)
    await replay.turn()
    assert replay.replayed == 0
    await replay.turn()
    assert tried == [("p1", []), ("p1", [])]
    assert replay.replayed == 1
    await spool.close()
