from tests.ledger_fixtures import embedded_url, folder, ledger, make_record, new_rid, store, store_url

__all__ = ["embedded_url", "folder", "ledger", "make_record", "new_rid", "store", "store_url"]
