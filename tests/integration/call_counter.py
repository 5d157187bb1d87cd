"""A gateway that notes which functions are called to settle a request: `benchmarks.launch` starts it with this inside.

Each settlement adds a line to the file that the text of the injection names: the project's own functions that are called
from the moment at which the relay has ended to the one at which the settler is handed the record, in order. A coroutine
that goes on is no call, and what reads the answer (`Forwarding._judge`) is not settling.
"""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path

from gateway.inference.relay import Relay
from metering.settlement.settler import Settler

ROOT = Path(__file__).parent.parent.parent
OURS = tuple(f"{ROOT / folder}/" for folder in ("gateway", "providers", "metering"))
READING = "Forwarding._judge"
FIRST = 8  # bytes of code before the first instruction that a coroutine begins with; it goes on from further in


def install(text: str) -> None:
    found = Path(text)
    called: list[str] = []
    reading: list[object] = []  # the frame that reads the answer, while it does
    ended, submit = Relay.on_end, Settler.submit

    def note(frame, event, _argument):
        code = frame.f_code
        if reading:
            if event == "return" and frame is reading[0]:
                reading.clear()
        elif event == "call" and code.co_filename.startswith(OURS):
            if code.co_qualname == READING:
                reading.append(frame)
            elif not (code.co_flags & inspect.CO_COROUTINE and frame.f_lasti > FIRST):
                called.append(code.co_qualname)

    def on_end(relay):
        ended(relay)
        called.clear()
        sys.setprofile(note)

    def counted(settler, record):
        sys.setprofile(None)
        called.append(submit.__qualname__)
        submit(settler, record)
        with found.open("a") as file:
            print(json.dumps(called), file=file)

    Relay.on_end, Settler.submit = on_end, counted
