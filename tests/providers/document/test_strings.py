import json

import pytest

from providers.document.strings import quoted, text_of


@pytest.mark.parametrize("text", ["", "plain", 'quote " and \\ and \n', "é \u2028 \U0001f600"])
def test_text_and_token_are_the_same(text):
    assert json.loads(quoted(text)) == text
    assert text_of(quoted(text)) == text
    assert text_of(json.dumps(text).encode()) == text


def test_a_lone_surrogate_is_no_text():
    with pytest.raises(ValueError):
        text_of(b'"\\ud800"')
