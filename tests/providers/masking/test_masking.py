import json

from hypothesis import given
from hypothesis import strategies as st

from providers.masking.masking import LONGEST, PREFIX, Found, Vault, mask, unmask

SECRETS = ["hunter22-secret", 'quo"te\\secret', "line\nsecret", "sécret-ünïcode"]


def detect(text):
    """Finds the secrets above wherever they stand."""
    found = [
        Found(at, at + len(secret), "SECRET")
        for secret in SECRETS
        for at in range(len(text))
        if text.startswith(secret, at)
    ]
    return sorted(found)


def vault():
    return Vault("Q7K2AA")


def dumps(value, **options):
    return json.dumps(value, **options).encode()


PROSE = st.lists(st.sampled_from(SECRETS) | st.text(max_size=12), max_size=6).map("".join)


@given(st.lists(PROSE, min_size=1, max_size=4), st.booleans())
def test_what_is_masked_comes_back_and_nothing_else_changes(parts, ascii_only):
    body = dumps(
        {"model": "m", "messages": [{"role": "user", "content": part} for part in parts]}, ensure_ascii=ascii_only
    )
    kept = vault()
    masked = mask(body, detect, kept)
    text = json.dumps(json.loads(masked), ensure_ascii=False)
    assert not any(detect(message["content"]) for message in json.loads(masked)["messages"])
    assert json.loads(unmask(masked, kept)) == json.loads(body)
    if not len(kept):
        assert masked is body
    assert text.count(PREFIX) == sum(part.count(secret) for part in parts for secret in SECRETS) or len(kept)


def test_the_same_secret_has_one_placeholder_in_an_exchange_and_another_in_the_next():
    one, two = vault(), Vault("ZZZZZZ")
    assert one.placeholder("s", "SECRET") == one.placeholder("s", "SECRET") != one.placeholder("t", "SECRET")
    assert one.placeholder("s", "SECRET") != two.placeholder("s", "SECRET")
    assert len(one.placeholder("u", "PASSWORD")) <= LONGEST
    assert repr(one) == "<Vault of 3>"


def test_bytes_outside_of_the_strings_stay_as_they_were_sent():
    body = b'{ "a" :\t"x hunter22-secret",\n"n": 1.50e3 , "b":"\\u0041plain"}'
    masked = mask(body, detect, vault())
    assert masked.startswith(b'{ "a" :\t"x MASKED_SECRET_Q7K2AA000_",\n"n": 1.50e3 , "b":"\\u0041plain"}')


def test_ids_signatures_and_encoded_data_are_left_alone():
    words = "hunter22-secret"
    body = dumps(
        {
            "id": words,
            "signature": words,
            "source": {"data": "A" * 300},
            "url": "data:image/png;base64," + words,
            "name": "two words " + words,
            "data": words,
        }
    )
    left = json.loads(mask(body, detect, vault()))
    assert (left["id"], left["signature"]) == (words, words)
    assert left["source"]["data"] == "A" * 300
    assert left["url"].endswith(words)
    assert words not in left["name"]
    assert words not in left["data"]


def test_json_inside_of_a_string_is_read_as_json():
    arguments = json.dumps({"key": SECRETS[1], "more": SECRETS[2]})
    kept = vault()
    masked = mask(dumps({"arguments": arguments}), detect, kept)
    inner = json.loads(json.loads(masked)["arguments"])
    assert all(value.startswith(PREFIX) for value in inner.values())
    assert json.loads(json.loads(unmask(masked, kept))["arguments"]) == json.loads(arguments)
    assert kept.restore("see " + inner["key"]) == "see " + SECRETS[1]


def test_what_may_be_the_beginning_of_a_placeholder_is_held():
    kept = vault()
    whole = kept.placeholder("secret", "SECRET")
    for size in range(1, len(whole)):
        assert kept.held("text " + whole[:size]) == size
    assert kept.held("text " + whole) == 0
    assert kept.held("MMM") == 1
    assert kept.held("MASKED_OTHER") == 0
    assert Vault("AAAAAA").held("M") == 0


def test_a_lone_surrogate_is_passed_on():
    body = b'{"a":"hunter22-secret \\ud800"}'
    assert mask(body, detect, vault()) is body
