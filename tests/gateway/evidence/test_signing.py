"""A signature holds for the very document and key, in both forms, and for nothing else."""

import base64
import subprocess
import sys

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.evidence.signing import SignatureFault, Signer, canonical, opened

DOCUMENT = {"v": 1, "type": "receipt", "counts": {"b": 2, "a": 1}, "ok": True, "list": ["x", "ü"]}
SIGNER = Signer(b"k" * 32)


def forms(document=DOCUMENT, signer=SIGNER):
    return orjson.dumps(signer.envelope(document)), signer.compact(document).encode()


def test_both_forms_open_to_the_document():
    for form in forms():
        assert opened(form)[0] == DOCUMENT
    assert opened(b"x-receipt: " + forms()[1] + b"\r\n")[0] == DOCUMENT
    assert opened(orjson.dumps(orjson.loads(forms()[0]), option=orjson.OPT_INDENT_2))[0] == DOCUMENT


def test_gateways_with_one_identity_key_sign_alike_and_others_do_not():
    keys = [opened(forms(signer=Signer(key))[0])[1] for key in (b"k" * 32, b"k" * 32, b"other key" * 4)]
    assert keys[0] == keys[1] != keys[2]


def test_the_identity_key_is_not_what_signs():
    public = opened(forms()[0])[1]
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    plain = Ed25519PrivateKey.from_private_bytes(b"k" * 32).public_key().public_bytes_raw()
    assert base64.urlsafe_b64decode(public + "=") != plain


@given(st.data())
def test_every_altered_byte_is_found(data):
    form = bytearray(data.draw(st.sampled_from(forms())))
    place = data.draw(st.integers(0, len(form) - 1))
    form[place] ^= 1 << data.draw(st.integers(0, 7))
    try:
        document, public = opened(bytes(form))
    except SignatureFault:
        return
    # Some bits carry nothing: spare ones at the end of base64, the case of an escape.
    assert (document, public) == (DOCUMENT, opened(forms()[0])[1])


def test_another_key_does_not_fit():
    form, signature, _ = forms()[1].split(b".")
    other = forms(signer=Signer(b"o" * 32))[1].split(b".")[2]
    with pytest.raises(SignatureFault, match="does not hold"):
        opened(b".".join((form, signature, other)))


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"{}", b"a.b", b"a.b.c.d", b"...", b"null", b'{"document": 1, "signature": 2}', b"\xff.\xff.\xff"],
)
def test_what_is_no_signed_document(text):
    with pytest.raises(SignatureFault):
        opened(text)


def test_another_algorithm_is_not_taken():
    envelope = orjson.loads(forms()[0])
    envelope["signature"]["algorithm"] = "none"
    with pytest.raises(SignatureFault, match="algorithm"):
        opened(orjson.dumps(envelope))


def test_the_canonical_form_does_not_depend_on_the_order():
    assert canonical({"a": 1, "b": {"d": 1, "c": 2}}) == canonical({"b": {"c": 2, "d": 1}, "a": 1})


def test_a_worker_that_is_not_asked_does_not_load_the_library():
    script = "import sys, gateway.process.app, gateway.evidence.signing; gateway.evidence.signing.Signer(b'k' * 32); "
    script += "print(any(name.startswith('cryptography.hazmat') for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
