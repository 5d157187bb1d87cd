"""The environment is an allow-list: what is honoured, what is handed on, and what is told of the rest."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import variables
from gateway.variables import SWITCHES, Given, is_kept, is_switch

OURS = {"PATH": "/bin", "LC_ALL": "C", "TZ": "UTC", "NOTIFY_SOCKET": "/run/n", "CODEGREX_CONFIG": "c"}
THEIRS = {"PYTHONPATH": "/x", "LD_PRELOAD": "x.so", "SSL_CERT_FILE": "ca", "HTTPS_PROXY": "http://p", "FOO": "1"}


@pytest.fixture
def held(monkeypatch):
    """`Given` of a process that was started with these, after `narrow`."""

    def make(**given):
        monkeypatch.setattr(os, "environ", dict(given))
        found = Given()
        found.narrow()
        return found

    return make


def test_only_what_is_kept_stays_in_the_process(held):
    found = held(**OURS, **THEIRS, KEY="sk")
    assert os.environ == OURS
    assert dict(found) == {**OURS, **THEIRS, "KEY": "sk"}


def test_what_is_asked_for_by_name_is_handed_on_and_no_switch_ever(held):
    found = held(**OURS, **THEIRS, KEY="sk")
    assert found.wanted() == OURS
    assert found.get("KEY") == "sk"
    assert found.get("MISSING", "none") == "none"
    for name in THEIRS.keys() - {"FOO"}:
        found.get(name)
    assert found.wanted() == {**OURS, "KEY": "sk", "HTTPS_PROXY": "http://p"}
    assert os.environ == OURS


def test_before_that_it_is_the_environment_as_it_is(monkeypatch):
    monkeypatch.setenv("SOMETHING", "1")
    assert variables.GIVEN["SOMETHING"] == "1"


def test_looking_through_it_is_not_asking(held):
    found = held(**OURS, KEY="sk")
    assert ("KEY", "sk") in found.items()
    assert "KEY" in found
    assert found.wanted() == OURS


@given(st.text(alphabet="ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz", min_size=1))
def test_nothing_is_both_kept_and_a_switch(name):
    assert not (is_kept(name) and is_switch(name))


def test_what_is_told_by_name_is_not_honoured():
    assert not any(map(is_kept, SWITCHES))


def test_what_was_dropped_is_told_over_a_new_start(held, monkeypatch):
    found = held(**OURS, **THEIRS)
    monkeypatch.setattr(variables, "GIVEN", found)
    told = 5, ("HTTPS_PROXY", "LD_PRELOAD", "PYTHONPATH", "SSL_CERT_FILE")
    assert variables.dropped() == told
    flag, option = variables.left(THEIRS.keys())
    assert flag == "-X"
    name, _, value = option.partition("=")
    monkeypatch.setattr(variables, "GIVEN", held(**OURS))
    monkeypatch.setattr(variables.sys, "_xoptions", {name: value})
    assert variables.was_left()
    assert variables.dropped() == told
    monkeypatch.setattr(variables.sys, "_xoptions", {name: "many,FOO"})
    assert variables.dropped() == (0, ())
