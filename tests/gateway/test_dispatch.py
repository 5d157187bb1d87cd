"""Request ids, and which error a path that is not served becomes."""

import pytest

from gateway.closed import new_rid
from gateway.dispatch import _path_error
from gateway.routes.account import _RID
from providers.paths import PathFault, resolve


def test_request_ids_are_unique_sortable_and_of_the_form_that_is_looked_up():
    rids = [new_rid() for _ in range(1000)]
    assert len(set(rids)) == 1000
    assert all(_RID.fullmatch(rid) for rid in rids)
    assert [rid[:16] for rid in rids] == sorted(rid[:16] for rid in rids)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("POST", "/nothing", 404, "not_found"),
        ("GET", "/v1/chat/completions", 405, "method_not_allowed"),
        ("POST", "/v1/files", 400, "privacy_unsupported"),
        ("POST", "/v1/batches", 400, "privacy_unsupported"),
        ("POST", "/v1/%ff", 400, "invalid_request"),
    ],
)
def test_what_a_path_fault_becomes(method, path, status, code):
    found = resolve(method, path)
    assert isinstance(found, PathFault)
    error = _path_error(found)
    assert (error.status, error.code) == (status, code)
    if status == 405:
        assert error.headers["Allow"] == "POST"
