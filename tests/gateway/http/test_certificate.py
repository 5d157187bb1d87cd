from __future__ import annotations

import shutil
import ssl
import time
from pathlib import Path

import pytest

from benchmarks.simulator import make_certificates
from gateway.http.certificate import ListenerCertificate, expires_of, expires_or_unknown


@pytest.fixture
def pairs(tmp_path: Path) -> list[Path]:
    """Two folders with a pair each."""
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
        made = make_certificates(folder)
        shutil.copy(made.cert_file, folder / "cert")
        shutil.copy(made.key_file, folder / "key")
    return folders


def put(source: Path, target: Path) -> None:
    draft = target.with_suffix(".new")
    shutil.copy(source, draft)
    draft.replace(target)


def test_a_new_pair_is_taken_once_it_is_complete(tmp_path: Path, pairs: list[Path]) -> None:
    one, two = pairs
    cert, key = tmp_path / "cert", tmp_path / "key"
    put(one / "cert", cert)
    put(one / "key", key)
    certificate = ListenerCertificate(cert, key)
    first = certificate.context
    assert [certificate.renew() for _ in range(3)] == [None] * 3
    put(two / "cert", cert)
    assert certificate.renew() is None  # seen, and looked at again
    put(two / "key", key)
    assert certificate.renew() is None
    assert certificate.renew() is True
    assert certificate.context is not first
    assert certificate.renew() is None


def test_a_pair_that_cannot_serve_is_told_once_and_the_old_one_stays(tmp_path: Path, pairs: list[Path]) -> None:
    one, two = pairs
    cert, key = tmp_path / "cert", tmp_path / "key"
    put(one / "cert", cert)
    put(one / "key", key)
    certificate = ListenerCertificate(cert, key)
    first = certificate.context
    for spoil in (lambda: put(two / "key", key), key.unlink, lambda: cert.write_text("nothing")):
        spoil()
        assert [certificate.renew() for _ in range(4)] == [None, False, None, None]
        assert certificate.refused
        assert certificate.context is first
    put(two / "cert", cert)
    put(two / "key", key)
    assert [certificate.renew() for _ in range(3)] == [None, True, None]
    assert not certificate.refused


def test_a_link_that_is_switched(tmp_path: Path, pairs: list[Path]) -> None:
    """As Kubernetes replaces mounted secrets: all files at once, by one link."""
    link = tmp_path / "data"
    link.symlink_to(pairs[0])
    certificate = ListenerCertificate(link / "cert", link / "key")
    fresh = tmp_path / "fresh"
    fresh.symlink_to(pairs[1])
    fresh.replace(link)
    assert [certificate.renew() for _ in range(2)] == [None, True]


def test_what_cannot_serve_at_the_start_is_an_error(tmp_path: Path, pairs: list[Path]) -> None:
    with pytest.raises(ssl.SSLError):
        ListenerCertificate(pairs[0] / "cert", pairs[1] / "key")


def test_its_end(tmp_path: Path, pairs: list[Path]) -> None:
    days = (expires_of(pairs[0] / "cert") - time.time()) / 86_400
    assert 29 < days < 31
    assert expires_or_unknown(tmp_path / "none") is None
    (tmp_path / "text").write_text("text")
    assert expires_or_unknown(tmp_path / "text") is None
