"""What the translation of an answer asks of the scanner that it is around."""

from providers.answers.around import Around
from providers.conversation.conversation import Conversation, Dialect
from providers.conversation.translated_answer import TranslatedStream
from providers.conversation.translator import Translation
from providers.dialect import Head, Operation
from providers.wires import WIRES

CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"word"},"finish_reason":null}]}\n\n'
END = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
ERROR = b'data: {"error":{"message":"x","type":"server_error","code":503}}\n\n'


class Asked(Around):
    """Counts how often an error is asked for."""

    times = 0

    def feed(self, data):
        return self.inner.feed(data)

    def finish(self):
        return self.inner.finish()

    @property
    def error(self):
        self.times += 1
        return self.inner.error


def scanners():
    inner = Asked(WIRES[Operation.OPENAI_CHAT].scanner(Head("m", stream=True), sse=True))
    asked = Conversation(turns=(), stream=True)
    made = Translation(Operation.ANTHROPIC_MESSAGES, b"", asked, "m", "id1", True, Dialect.CHAT)
    return inner, TranslatedStream(inner, made, "req_1")


def test_the_scanner_is_not_made_to_read_every_event():
    inner, translated = scanners()
    for _ in range(100):
        assert b"word" in translated.feed(CHUNK)
    assert inner.times == 0
    assert b"message_stop" in translated.feed(END)
    translated.finish()
    assert translated.ended


def test_an_error_is_told_once_wherever_it_is_cut():
    for at in range(len(ERROR)):
        _, translated = scanners()
        out = translated.feed(CHUNK) + translated.feed(ERROR[:at]) + translated.feed(ERROR[at:])
        out += translated.feed(END) + translated.finish()
        assert out.count(b"event: error\n") == 1
        assert b"message_stop" not in out
        assert not translated.ended
