"""Token counting at Amazon Bedrock: the forms of ``CountTokens`` around those of the Messages API.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_CountTokens.html: the request has the body of an
``InvokeModel`` request as base64, the answer has ``inputTokens``.
"""

from __future__ import annotations

from binascii import b2a_base64
from typing import Final

import msgspec

from providers.answers.around import Thorough
from providers.dialect import Scanner
from providers.steps import Steps

_AT_ONCE: Final = 3 << 18  # bytes that are encoded in one step: a multiple of three, so that the pieces join
_LONGEST_ANSWER: Final = 4_096


class _Count(msgspec.Struct):
    inputTokens: int  # noqa: N815 - the wire's spelling


_COUNT: Final = msgspec.json.Decoder(_Count)


def counting(body: bytes) -> Steps[bytes]:
    """The request that counts the tokens of this one."""
    pieces = [b'{"input":{"invokeModel":{"body":"']
    view = memoryview(body)
    for start in range(0, len(body), _AT_ONCE):
        pieces.append(b2a_base64(view[start : start + _AT_ONCE], newline=False))
        yield
    pieces.append(b'"}}}')
    return b"".join(pieces)


class CountedTokens(Thorough):
    """Shows a count in the form of the Messages API, to a scanner of that and to the client. What is no count passes as
    it is, and is none there either.
    """

    __slots__ = ("_held",)

    def __init__(self, inner: Scanner) -> None:
        super().__init__(inner)
        self._held: bytes | None = b""

    def feed(self, data: bytes) -> bytes:
        if self._held is None:
            return self.inner.feed(data)
        self._held += data
        if len(self._held) <= _LONGEST_ANSWER:
            return b""
        held, self._held = self._held, None
        return self.inner.feed(held)

    def finish(self) -> bytes:
        held, self._held = self._held, None
        if not held:
            return self.inner.finish()
        try:
            shown = b'{"input_tokens":%d}' % _COUNT.decode(held).inputTokens
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            shown = held
        return self.inner.feed(shown) + self.inner.finish()
