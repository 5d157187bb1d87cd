"""What the gateway promises about content, and the tests that show each promise: the rows of the report.

Rules:

1. A row names tests that exist and run in ``make test`` too: the report is a reading of them, no second set.
2. Each row has a control: tests in which the promise is broken on purpose, or in which the same search
   finds what is there. A row whose control did not run or failed proves nothing, and fails.
3. A row whose module is not in this build yet says so (``needs``), loudly, and is not counted as held.
"""

from __future__ import annotations

from dataclasses import dataclass

HUNT = "tests/privacy/test_hunt.py"


@dataclass(frozen=True)
class Guarantee:
    """``tests`` are files or node ids; ``controls`` are parts of node ids. A test may state its own paths and sinks."""

    name: str
    tests: tuple[str, ...]
    sinks: tuple[str, ...]  # where it is looked, for tests that don't state it
    control: str
    controls: tuple[str, ...]
    needs: str = ""  # a module without which there is nothing to test


GUARANTEES = (
    Guarantee(
        "No content in any sink, whatever a request meets",
        tuple(
            f"{HUNT}::test_nothing_is_kept[{setting}]"
            for setting in ("usual", "guarded", "faulty", "limited", "outage", "register")
        ),
        (),
        "a gateway that leaks on purpose, once into each sink",
        (f"{HUNT}::test_a_leak_into_any_sink_is_caught",),
    ),
    Guarantee(
        "No content left behind by a death",
        (f"{HUNT}::test_nothing_is_left_by_a_death",),
        (),
        "a gateway that leaks on purpose, once into each sink",
        (f"{HUNT}::test_a_leak_into_any_sink_is_caught",),
    ),
    Guarantee(
        "A marker is found in every form",
        ("tests/privacy/test_canaries.py",),
        ("17 encodings", "3 compressions", "9 digests"),
        "bytes that hold it, and bytes that do not",
        ("test_every_form_is_found", "test_nothing_is_found_where_nothing_is"),
    ),
    Guarantee(
        "One way to write anything down, with closed types",
        ("tests/privacy/test_no_other_sink.py", "tests/gateway/telemetry/test_log.py"),
        ("source of every module", "log fields", "type checker"),
        "sources and values that each rule forbids",
        (
            "test_each_rule_finds_what_it_forbids",
            "test_what_is_not_closed_raises",
            "test_the_type_checker_refuses_text",
        ),
    ),
    Guarantee(
        "No content in traces and metrics that a collector is sent",
        (
            "tests/integration/test_otlp.py::test_spans_and_sums_equal_the_ledger",
            "tests/gateway/telemetry/test_genai.py",
            "tests/gateway/telemetry/test_otlp.py",
        ),
        ("every byte of every export", "types of what is told", "type checker"),
        "a marker that the configuration names is found in an export; a text among the types is found",
        ("test_a_search_finds_what_is_exported", "test_a_text_would_be_found"),
    ),
    Guarantee(
        "The process gives nothing away",
        ("tests/integration/test_hardening.py", "tests/gateway/hardening"),
        ("/proc of every process", "core files", "file system", "ptrace"),
        "a process without the measures, and one that obeys an attacker",
        ("test_process.py::test_off_is_off", "test_a_worker_that_does_what_somebody_else_wants"),
    ),
    Guarantee(
        "A provider cannot tell two users apart",
        ("tests/corpus/test_nontargetable.py", "tests/integration/test_nontargetable.py"),
        ("provider's connection: request line, headers in order, body",),
        "what may pass is seen to differ",
        ("test_what_may_differ_is_seen",),
    ),
    Guarantee(
        "A pinned region is never left",
        ("tests/integration/test_region.py", "tests/gateway/auth/test_regions.py"),
        ("targets chosen", "fall-backs", "fields that say where it ran"),
        "an answer from elsewhere raises the alarm",
        ("test_an_answer_from_elsewhere_raises_the_alarm",),
    ),
    Guarantee(
        "Nothing is sent to where it is kept for too long",
        ("tests/integration/test_retention.py", "tests/gateway/inference/test_permitted_targets.py"),
        ("targets chosen", "fall-backs", "models of tools", "requests at the provider"),
        "without a limit they are used; without the look, the search finds what was let through",
        ("test_without_a_limit_every_target_is_used", "test_the_search_finds_what_is_let_through"),
    ),
    Guarantee(
        "Local means local",
        (
            "tests/integration/test_local_sockets.py",
            "tests/integration/test_local_mode.py",
            "tests/integration/test_local_isolation.py",
            "tests/gateway/local/test_layers.py",
        ),
        ("every socket call", "DNS", "connected peers", "imports"),
        "each layer removed in turn; a broker that goes astray",
        ("test_without_the_layer_its_test_fails", "test_the_recorder_sees_what_must_not_be"),
    ),
    Guarantee(
        "Masked secrets stay home and come back whole",
        (
            "tests/providers/masking/test_masking.py",
            "tests/providers/masking/test_restoring.py",
            "tests/integration/test_secrets.py",
        ),
        ("provider's connection", "every cut of the stream", "log"),
        "without restoring, the placeholder is seen",
        ("test_the_provider_never_sees_it[mask-True]", "test_the_provider_never_sees_it[mask-False]"),
    ),
    Guarantee(
        "Evidence holds what happened and nothing more",
        ("tests/integration/test_evidence.py", "tests/gateway/evidence/test_statement.py"),
        ("statement", "receipts", "signatures"),
        "what was altered is told",
        ("test_what_was_altered_or_is_another_gateway_s_is_told",),
    ),
    Guarantee(
        "What is erased is gone, and nothing is kept too long",
        ("tests/metering/accounts/test_rights.py", "tests/metering/accounts/test_retention.py"),
        ("every key of the account's partition", "records", "audit stream"),
        "the same reading before the erasure finds everything",
        ("test_a_copy_has_what_every_key_of_the_account_holds",),
    ),
    Guarantee(
        "Device login and the portal keep no code, token or text",
        tuple(f"{HUNT}::test_nothing_is_kept[{setting}]" for setting in ("people", "supabase")),
        (),
        "a gateway that leaks what a form holds, once into each sink",
        (f"{HUNT}::test_a_leak_of_a_form_is_caught",),
    ),
)
