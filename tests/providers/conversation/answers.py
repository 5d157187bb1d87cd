"""Answers in every dialect: how they are read and written, whole and streamed. For the tests of the hub."""

import json

from providers.conversation.conversation import Conversation
from providers.conversation.dialects import answer_reader, answer_writer, write_answer
from providers.conversation.writing import AnswerWriter


def streamed(dialect, events, *, tools=(), reasoning=True):
    """The events as a stream, one write each."""
    asked = Conversation(turns=(), tools=tools, reasoning=reasoning)
    writer = answer_writer(dialect, asked, "id1", "m")
    return b"".join(writer.write([event]) for event in events) + writer.end()


def whole(dialect, events, *, tools=(), reasoning=True):
    """The events as one body, or None."""
    return write_answer(dialect, Conversation(turns=(), tools=tools, reasoning=reasoning), events, "id1", "m")


def read_stream(dialect, data, stop=()):
    """The events of a stream, and its reader."""
    reader = answer_reader(dialect, stop)
    events = reader.feed(data)
    return [*events, *([] if reader.done else reader.finish())], reader


def read_whole(dialect, body, stop=()):
    reader = answer_reader(dialect, stop)
    return reader.whole(body), reader


def arguments(block):
    return json.loads(bytes(block.arguments or b"{}"))


def told(events):
    """What an answer says, so that two can be compared: blocks, the reason, the counts."""
    answer = AnswerWriter()
    answer.write(events)
    blocks = []
    for block in answer.blocks:
        seal = block.seal and (block.seal.family, block.seal.data, block.seal.redacted)
        said = arguments(block) if block.kind == "tool" else block.text
        sources = [(one.url, one.title) for one in block.citations]
        if block.kind == "reasoning" and not said and seal is None:
            continue
        blocks.append((str(block.kind), block.id, block.name, said, seal, sources))
    finish = answer.finish and (answer.finish.reason, answer.finish.sequence)
    return blocks, finish, answer.counts, answer.failed
