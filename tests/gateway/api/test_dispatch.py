"""Request ids, and which error a path that is not served becomes."""

from gateway.names import is_rid, new_rid


def test_request_ids_are_unique_sortable_and_of_the_form_that_is_looked_up():
    rids = [new_rid() for _ in range(1000)]
    assert len(set(rids)) == 1000
    assert all(is_rid(rid) for rid in rids)
    assert [rid[:16] for rid in rids] == sorted(rid[:16] for rid in rids)
