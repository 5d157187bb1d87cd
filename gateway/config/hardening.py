"""``[hardening]``: what a process does to itself (`gateway.hardening`)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gateway.config.reader import Section


class HardeningMode(StrEnum):
    """Whether processes give nothing away (see `gateway.hardening.process`)."""

    ENFORCE = "enforce"  # every measure that the kernel has
    OFF = "off"  # for development: debuggers attach, cores are written


@dataclass(frozen=True, slots=True)
class HardeningConfig:
    mode: HardeningMode = HardeningMode.ENFORCE


def read_hardening(root: Section) -> HardeningConfig:
    section, usual = root.table("hardening"), HardeningConfig()
    config = HardeningConfig(mode=section.choice("mode", usual.mode))
    section.close()
    return config
