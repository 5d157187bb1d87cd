"""``[hardening]``: what a process does to itself (`gateway.hardening`)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gateway.config.reader import Section


class HardeningMode(StrEnum):
    """Whether processes give nothing away (see `gateway.hardening.process`)."""

    ENFORCE = "enforce"  # whatever the kernel has of it
    OFF = "off"  # for development: debuggers attach, cores are written


@dataclass(frozen=True, slots=True)
class HardeningConfig:
    mode: HardeningMode = HardeningMode.ENFORCE


def read_hardening(section: Section) -> HardeningConfig:
    config = HardeningConfig(section.choice("mode", HardeningMode.ENFORCE))
    section.close()
    return config
