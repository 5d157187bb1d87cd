"""Content shows nothing of itself, however it is looked at."""

import copy
import pickle
import traceback

import pytest

from gateway.inference.content import Content

SECRET = b"the canary of the prompt"


def test_it_is_read_by_name_alone():
    content = Content(SECRET)
    assert content.reveal() is SECRET
    assert len(content) == len(SECRET)


@pytest.mark.parametrize(
    "show", [repr, str, format, ascii, "{0:>40}".format, "%s".__mod__, lambda c: repr([c, {1: c}])]
)
def test_nothing_shows_it(show):
    shown = show(Content(SECRET))
    assert "<content>" in shown
    assert "canary" not in shown


@pytest.mark.parametrize("take", [pickle.dumps, copy.copy, copy.deepcopy, hash, bytes, iter, list, memoryview])
def test_nothing_takes_it(take):
    with pytest.raises(TypeError) as caught:
        take(Content(SECRET))
    assert "canary" not in str(caught.value)


def test_two_are_never_equal():
    assert Content(SECRET) != Content(SECRET)


def test_a_list_of_locals_does_not_show_it():
    def fail(_content):
        raise RuntimeError

    with pytest.raises(RuntimeError) as caught:
        fail(Content(SECRET))
    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert "_content = <content>" in shown
    assert "canary" not in shown


def test_what_was_dropped_is_gone():
    content = Content(SECRET)
    content.drop()
    assert len(content) == 0
    with pytest.raises(ValueError, match="dropped"):
        content.reveal()
