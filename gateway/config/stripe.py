"""``[stripe]``: the meter that charges are sent to."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.config.reader import Section, check_url


@dataclass(frozen=True, slots=True)
class StripeConfig:
    """The meter that charges are sent to, in micro-credits."""

    api_key: str = field(repr=False)
    event_name: str = "codegrex_micro_credits"
    base_url: str = "https://api.stripe.com"


def read_stripe(root: Section, *, needed: bool) -> StripeConfig | None:
    section, usual = root.table("stripe"), StripeConfig("")
    key = section.secret("api_key", needed=needed)
    event = section.string("event_name", usual.event_name)
    url = section.string("base_url", usual.base_url)
    section.close()
    if len(event) > 100:
        section.fault("event_name", "is too long", "use the meter's event_name, 100 characters at most")
    check_url(section, "base_url", url)
    return StripeConfig(api_key=key, event_name=event, base_url=url) if key else None
