"""The log for a person at a terminal: a line for each request, and a sentence for each event that needs attention.

It contains nothing that `gateway.telemetry.log` does not: the sentences are fixed, and the same rules check the fields.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Final, Unpack

from gateway.telemetry.log import Event, Fields, Log, own_frame
from metering.usage import MICRO_CREDITS
from providers.paths import NotServed

# For every event that is a warning or an error. Other events are not shown at a terminal.
SENTENCES: Final[Mapping[Event, str]] = {
    Event.START_FAILED: "The gateway did not start.",
    Event.CONNECTIONS_FULL: "Client connections were refused or closed, because there were too many.",
    Event.HANDLER_FAILED: "A request failed because of a bug in the gateway.",
    Event.LOOP_ERROR: "A background task failed; the gateway continues.",
    Event.CRASHED: "An unexpected error ended a part of the gateway.",
    Event.UNRAISABLE: "An error occurred where Python could not raise it; the gateway continues.",
    Event.WARNED: "Python or a library gave a warning.",
    Event.CERTIFICATE_REFUSED: "The listener's new certificate or key cannot serve; the old one is used.",
    Event.STORE_FAULT: "The store refused a call.",
    Event.STORE_AWAY: "The store does not answer; requests are refused until it does.",
    Event.STORE_BACK: "The store answers again.",
    Event.COLLECTOR_AWAY: "The OpenTelemetry collector takes nothing; the gateway tries again.",
    Event.COLLECTOR_BACK: "The OpenTelemetry collector takes traces and metrics again.",
    Event.SETTLEMENT_REFUSED: "A request could not be settled; its record is in the dead letters.",
    Event.WORKER_DIED: "A worker process died; a new one is started.",
    Event.RESTART_REFUSED: "The workers were not replaced, or not all; the old ones continue.",
    Event.WORKER_LEFT: "A worker that was replaced ended before everything was settled; another one does that.",
    Event.BILLING_LAGS: "No billing service has read the usage records for a while.",
    Event.RECORDS_UNREAD: "Old usage records were deleted although a billing service had not read them.",
    Event.RETENTION_FAILED: "Old records could not be deleted; the gateway tries again.",
    Event.PRICE_CHANGE_FAILED: "A change of the published prices could not be loaded; the gateway tries again.",
    Event.PROVIDER_ACCOUNT_FAULT: "A provider refuses the key or the account that the gateway uses. Check both.",
    Event.TOKEN_UNAVAILABLE: "No token was issued for a provider; the gateway asks again. Check its service account.",
    Event.REGION_ASTRAY: "A provider answered from another region than it is configured for.",
    Event.ANSWER_UNREADABLE: "A provider's answer was in a form that the gateway cannot read.",
    Event.USAGE_UNPRICED: "A provider stated usage that has no price here.",
    Event.USAGE_SUSPECT: "A provider's token counts contradict each other.",
    Event.SETTING_WAITS: "A changed setting takes effect at the next start.",
    Event.RELOAD_REFUSED: "The configuration file was not taken, and the old configuration stays.",
    Event.SWITCHES_CHANGED: "Providers, models or keys were switched off or on.",
    Event.DEVELOPMENT_SIGN_IN: "No sign-in service is configured, so anybody who uses this machine can sign in to the "
    "portal. It answers to this machine only.",
}


class ReadableLog(Log):
    """Writes requests to standard output, warnings and errors to standard error."""

    def __init__(self) -> None:
        super().__init__("warning")
        self.requests = True

    def request(self, **fields: Unpack[Fields]) -> None:
        charge = fields.get("charge")
        credits_ = f"{charge / MICRO_CREDITS:.4f} credits" if isinstance(charge, int) else "not charged"
        sys.stdout.write(
            f"{fields['model']}  {fields.get('input_tokens', 0)} in, {fields.get('output_tokens', 0)} out  "
            f"{credits_}  first byte {fields['first_byte_ms']} ms  {fields['outcome']}\n"
        )
        sys.stdout.flush()

    def refused(self, **fields: Unpack[Fields]) -> None:
        asked = str((fields.get("operation") or fields["surface"]).value).replace("_", " ")
        if "method" in fields:
            asked = f"{fields['method']} {asked}"
        elif fields["surface"] is not NotServed.UNREADABLE:
            asked += ", by a method that is none of HTTP's"
        sys.stdout.write(f"refused: {fields['status']} {fields['code']}  {asked}  {fields['rid']}\n")
        sys.stdout.flush()

    def warning(self, event: Event, **fields: Unpack[Fields]) -> None:
        self._check(fields)
        _say("note" if event in {Event.DEVELOPMENT_SIGN_IN, Event.STORE_BACK} else "warning", event, fields)

    def error(self, event: Event, **fields: Unpack[Fields]) -> None:
        self._check(fields)
        _say("error", event, fields)

    def failure(self, event: Event, error: BaseException, **fields: Unpack[Fields]) -> None:
        self._check(fields)
        _say("error", event, {**fields, "error": type(error).__name__, "where": own_frame(error)})

    def warned(self, category: type[Warning]) -> None:
        _say("warning", Event.WARNED, {"error": category.__name__})


def _say(level: str, event: Event, fields: Mapping[str, object]) -> None:
    details = ", ".join(f"{name} {value}" for name, value in fields.items())
    sys.stderr.write(f"{level}: {SENTENCES[event]}{f' ({details})' if details else ''}\n")
    sys.stderr.flush()
