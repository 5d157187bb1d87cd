import base64
import hashlib
import json
import random
import re
import sysconfig
import uuid
from pathlib import Path

import aiohttp
import anthropic
import hypothesis
import msgspec
import openai
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from gateway.inference.detection import MARGIN, SET_SIZE, WINDOW, Search, Sought, detector
from providers.masking.masking import TooMany

CREDENTIALS, PERSONAL = frozenset({Sought.CREDENTIALS}), frozenset({Sought.PERSONAL})
GITHUB = "ghp_" + "a1B2" * 9


@pytest.mark.parametrize(
    ("text", "secret", "kind"),
    [
        ("key AKIAIOSFODNN7EXAMPLE here", "AKIAIOSFODNN7EXAMPLE", "SECRET"),
        (f"token={GITHUB}", GITHUB, "SECRET"),
        ("postgres://user:longpassword@host/db", "longpassword", "PASSWORD"),
        ("jfrog:\nurl: x\npassword: AP5abcdefghijk\n", "AP5abcdefghijk", "SECRET"),
        ("JFROG_TOKEN=AKCabcdefghijkl", "AKCabcdefghijkl", "SECRET"),
        (
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
            "TOKEN",
        ),
    ],
)
def test_credentials(text, secret, kind):
    (found,) = detector(CREDENTIALS)(text)
    assert (text[found.start : found.end], found.kind) == (secret, kind)


def test_a_private_key_is_found_with_all_of_its_lines():
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7bq\nabcdefgh==\n-----END RSA PRIVATE KEY-----"
    (found,) = detector(CREDENTIALS)(key)
    assert "MIIEpAIBAAKCAQEA7bq" in key[found.start : found.end]
    assert "abcdefgh==" in key[found.start : found.end]


@pytest.mark.parametrize(
    ("text", "secret", "kind"),
    [
        ("write to ada.l+x@mail.example.org!", "ada.l+x@mail.example.org", "EMAIL"),
        ("card 4111 1111 1111 1111", "4111 1111 1111 1111", "CARD"),
        ("pay GB82 WEST 1234 5698 7654 32 now", "GB82 WEST 1234 5698 7654 32", "IBAN"),
        ("call +44 20 7946 0958", "+44 20 7946 0958", "PHONE"),
        ("call +44 (0)20 7946 0958.", "+44 (0)20 7946 0958", "PHONE"),
        ("tel:+1-415-555-0100", "+1-415-555-0100", "PHONE"),
        ("Ada <ada@example.org>", "ada@example.org", "EMAIL"),
        ("mailto:ada@example.org?subject=x", "ada@example.org", "EMAIL"),
        ("https://a.test/?q=1&email=ada@example.org", "ada@example.org", "EMAIL"),
        ("EMAIL=ada@example.org", "ada@example.org", "EMAIL"),
        ("'ada@example.org'", "ada@example.org", "EMAIL"),
        ("ada@163.com", "ada@163.com", "EMAIL"),
        ("ada@company.engineering", "ada@company.engineering", "EMAIL"),
        ("name,4111111111111111,10/28", "4111111111111111", "CARD"),
        ("4111 1111 1111 1111 12/28", "4111 1111 1111 1111", "CARD"),
        ("4111-1111-1111-1111", "4111-1111-1111-1111", "CARD"),
        ("3782 822463 10005 is one", "3782 822463 10005", "CARD"),
        ("GB82 WEST 1234 5698 7654 32 PLEASE PAY", "GB82 WEST 1234 5698 7654 32", "IBAN"),
    ],
)
def test_personal_data(text, secret, kind):
    (found,) = detector(PERSONAL)(text)
    assert (text[found.start : found.end], found.kind) == (secret, kind)


@pytest.mark.parametrize(
    "text",
    [
        "@app.route('/x')",
        "user@localhost",
        "4111 1111 1111 1112",
        "0000 0000 0000 0000",
        "1700000000000",
        "GB82 WEST 1234 5698 7654 33",
        "+1 2",
        "a = b + 12345678 * c",
        "for (const x of list) { return x.id; }",
    ],
)
def test_code_and_wrong_check_digits_are_not(text):
    assert detector(frozenset(Sought))(text) == []


# What coding agents send every day; a few invented lines each.
HARMLESS = {
    "packages": 'npx lodash@4.17.21 "@types/node@18.0.0" vue@3.4.0-beta.next react@v18.2.0 pkg@1.0.0-rc.1+build.5',
    "cargo": "registry+https://index.test/list#serde@1.0.203 pkg:cargo/jiff@0.2.23",
    "pnpm": "/@babel/core@7.1.0(supports-color@8.1.1): resolution: {}",
    "go": "golang.org/x/net v0.21.0 // example.org/mod@v1.2.3-0.20240101120000-abcdefabcdef",
    "cdn": "https://cdn.test/npm/vue@3.4.21/dist/vue.global.js https://cdn.test/@scope/pkg@2.0.0/a.css",
    "git remote": "git clone git@github.com:acme/widgets.git && git remote add o ssh://git@host.example.com/x.git",
    "who logs in": "https://x-access-token@github.com/a/b.git ssh://deploy@build.example.com:22/srv",
    "commit rule": "Co-Authored-By: Claude <noreply@anthropic.com>\nCo-authored-by: bot <no-reply@example.com>",
    "retina": "icon@2x.png logo@3x.webp Icon@2x~ipad.png",
    "units": "systemctl restart getty@tty1.service user@1000.service",
    "matrices": "q@k.transpose(-2, -1) + x@self.weight.T + a@b.T",
    "milliseconds": " ".join(str(1_764_250_000_000 + number * 137) for number in range(200)),
    "microseconds": " ".join(str(1_764_250_000_000_000 + number * 137) for number in range(200)),
    "nanoseconds": " ".join(str(1_764_250_000_000_000_000 + number * 137) for number in range(200)),
    "64 bits": " ".join(str(random.Random(number).getrandbits(63)) for number in range(200)),
    "floats": "0.83921568627450982 0.70980392156862748 7.745966692414834 -4.5e-12 3.1415926535897931",
    "a dump of numbers": " ".join(f"{number:04d}" for number in range(4000, 4600)),
    "a dump of hex": " ".join(f"{number:04X}" for number in range(0x4E00, 0x5200)),
    "a path": "M5240-1076-5355-1073h-10c-953-1207-886-5188-832-6020-10-50 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15",
    "zones": "CA\t+682059-1334300\tAmerica/Inuvik\nUS\t+611305-1495401\nCA\t+4906-11631\tAmerica/Creston",
    "a patch": "@@ -1,5 +10,7 @@\n+1764250000\n+1764250000000\n+12345678\n-1.5\n+0.25",
    "sums": "a+12025550123*2 x = y +35236450.6 -2 and 1e+12025550123",
    "builds": "1.2.3+12025550123 v2.0.0+4420794609",
    "uuids": " ".join(str(uuid.UUID(int=random.Random(number).getrandbits(128), version=4)) for number in range(300)),
    "uuids of digits": "41111111-1111-4111-8111-111111111111 12345678-1234-1234-1234-123456789012",
    "digests": "\n".join(hashlib.sha256(bytes([number])).hexdigest() for number in range(100)),
    "commits": "aws key rotation fixed in " + hashlib.sha1(b"x", usedforsecurity=False).hexdigest(),
    "local database": "postgres://postgres:postgres@localhost:5432/app mysql://root:hunter22@127.0.0.1/x redis://:p@[::1]:6379",
    "docker host": "amqp://guest:guest-password@host.docker.internal:5672/",
    "stand-ins": "https://user:password@example.com https://<username>:<password>@proxy http://u:{password}@h http://u:****@h",
    "a template": "postgres://app:YOUR_PASSWORD@db.example.com/x https://user:my-password@host",
    "a table": "| +1 | 2 | 3 |\n| 4111 | 1111 | 1111 | 1112 |",
    "decorators": "@app.route('/x')\n@pytest.mark.parametrize",
}


@pytest.mark.parametrize("what", HARMLESS)
def test_everyday_lines_hold_no_secret(what):
    text = HARMLESS[what]
    assert [text[found.start : found.end] for found in detector(frozenset(Sought))(text)] == []


def integrity(number, algorithm):
    return f"{algorithm}-{base64.b64encode(hashlib.new(algorithm, bytes([number])).digest()).decode()}"


def package_lock():
    return json.dumps(
        {
            "lockfileVersion": 3,
            "packages": {
                f"node_modules/@scope{number}/pkg": {
                    "version": f"{number}.{number % 7}.0",
                    "resolved": f"https://registry.example.test/@scope{number}/pkg/-/pkg-{number}.0.0.tgz",
                    "integrity": integrity(number, "sha512"),
                }
                for number in range(200)
            },
        },
        indent=2,
    )


def yarn_lock():
    return "\n".join(
        f'"@scope/pkg{number}@^1.{number}.0", pkg{number}@~2.0.0:\n  version "1.{number}.0"\n'
        f'  resolved "https://registry.example.test/pkg{number}.tgz#{hashlib.sha1(bytes([number])).hexdigest()}"\n'
        f"  integrity {integrity(number, 'sha512')}\n"
        for number in range(200)
    )


def uv_lock():
    return "\n".join(
        f'[[package]]\nname = "p{number}"\nversion = "{number}.0"\nsdist = {{ url = "https://files.example.test/p.tar.gz", '
        f'hash = "sha256:{hashlib.sha256(bytes([number])).hexdigest()}", size = {number * 1234567} }}'
        for number in range(200)
    )


def go_sum():
    return "\n".join(
        f"example.org/mod{number} v1.{number}.0 h1:{base64.b64encode(hashlib.sha256(bytes([number])).digest()).decode()}"
        for number in range(200)
    )


def image(number):
    return base64.b64encode(random.Random(number).randbytes(60_000)).decode()


def minified():
    chance = random.Random(1)
    names = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ$_", k=2)) for _ in range(400)]
    return "".join(
        f'function {one}({two},{one}){{return {two}.{one}?{number}:{two}+{number * 7919}e3,"#{number:06x}"}}'
        for number, (one, two) in enumerate(zip(names, reversed(names), strict=True))
    )


GENERATED = {
    "package-lock.json": package_lock(),
    "yarn.lock": yarn_lock(),
    "uv.lock": uv_lock(),
    "go.sum": go_sum(),
    "subresource": f'<script integrity="{integrity(1, "sha384")} {integrity(2, "sha512")}"></script>',
    "images in a style sheet": "".join(f"url(data:image/png;base64,{image(number)})\n" for number in range(20)),
    "images in lines": "\n".join(re.findall(".{1,76}", image(99))),
    "minified code": minified(),
}


@pytest.mark.parametrize("what", GENERATED)
def test_files_that_programs_write_hold_no_secret(what):
    text = GENERATED[what]
    assert [text[found.start : found.end] for found in detector(frozenset(Sought))(text)] == []


SOURCES = [aiohttp, anthropic, hypothesis, msgspec, openai, redis]
ADDRESS = re.compile(r"[\w.+-]+@(?:[A-Za-z0-9-]+\.)+[a-z]{2,}")


def sources():
    folders = [Path(package.__file__).parent for package in SOURCES]
    folders += [Path(sysconfig.get_paths()["stdlib"], name) for name in ("json", "asyncio", "http", "email", "ctypes")]
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            if "test" not in path.parts:
                yield path, path.read_text(errors="replace")


def test_real_source_files_hold_addresses_of_authors_and_nothing_else():
    """Files that are on this machine: 1,500 or so, 15 MB."""
    detect, size, found = detector(frozenset(Sought)), 0, []
    for path, text in sources():
        size += len(text)
        found += [(one.kind, text[one.start : one.end], path.name) for one in detect(text)]
    assert size > 5_000_000
    wrong = [one for one in found if one[0] != "EMAIL" or not ADDRESS.fullmatch(one[1])]
    # Documentation shows telephone numbers of those that are kept for fiction.
    assert [
        one for one in wrong if not re.fullmatch(r"PHONE \+1-?[0-9]{3}-?555-?01[0-9]{2}", f"{one[0]} {one[1]}")
    ] == []


FILLER = "the quick brown fox jumps over the lazy dog. "


@given(st.integers(0, 3 * WINDOW), st.sampled_from([GITHUB, "+44 20 7946 0958", "ada@example.org", "4111111111111111"]))
def test_a_secret_is_found_wherever_it_stands_in_a_long_text(at, secret):
    text = (FILLER * (4 * WINDOW // len(FILLER)))[: 3 * WINDOW + MARGIN]
    text = f"{text[:at]} {secret} {text[at:]}"
    assert [text[found.start : found.end] for found in detector(frozenset(Sought))(text)] == [secret]


@pytest.mark.parametrize("size", [MARGIN - 100, MARGIN + 100, WINDOW - 1, WINDOW + 1, 4 * WINDOW])
@pytest.mark.parametrize("at", [0, WINDOW - 50, WINDOW - MARGIN, 2 * WINDOW - 100])
def test_a_key_longer_than_a_window_s_margin_is_found_to_its_end(size, at):
    key = "BEGIN RSA PRIVATE KEY-----\n" + "\n".join(["Ab9+" * 16] * (size // 65))
    text = FILLER * (at // len(FILLER)) + key + "\n-----END RSA PRIVATE KEY-----\n and text " + FILLER
    (found,) = detector(CREDENTIALS)(text)
    hidden = text[found.start : found.end]
    assert hidden.startswith("BEGIN RSA")
    assert len(hidden) >= len(key)
    assert FILLER not in hidden


def steps(text, most=1_000_000):
    """How much is done between two pauses at most: candidates found, characters gone through."""
    search = Search(detector(frozenset(Sought)), most)
    longest = run = total = 0
    for one in search(text):
        run = 0 if one is None else run + 1
        longest = max(longest, run)
        total += one is None
    return longest, total


def test_no_rule_and_no_set_of_rules_is_of_the_size_at_which_re2_s_states_multiply():
    detect = detector(frozenset(Sought))
    sizes = [rule.pattern.programsize for rule in detect._rules]
    assert max(sizes) < 1_000
    for _, indexes in detect._sets:
        assert len(indexes) == 1 or sum(sizes[index] for index in indexes) <= SET_SIZE


@given(st.lists(st.sampled_from(["aws", "key", " ", "\n", "AKIA", "A1B2" * 9, "ghp_", "://a:b@", "4111 1111 1111 1111", "a@b.example", "+14155550100", "é", "AC", "z9" * 16, "Ab9+" * 22, "=="]), max_size=30))  # fmt: skip
def test_the_sieves_let_every_rule_through_that_matches(parts):
    text = "".join(parts)
    detect = detector(frozenset(Sought))
    through = {id(rule) for rule in detect.candidates(text)}
    assert all(id(rule) in through for rule in detect._rules if rule.pattern.search(text))


def test_a_name_that_is_far_from_the_token_does_not_name_it():
    assert detector(CREDENTIALS)("jfrog:\n\n\n\npassword: AP5abcdefghijk\n") == []


DENSE = {
    "telephone numbers": " ".join(f"+1415555{number % 10_000:04d}" for number in range(4_000)),
    "like telephone numbers": " ".join(f"+{random.Random(number).randint(10**9, 10**12)}" for number in range(4_000)),
    "like cards": " ".join(f"4{random.Random(number).randint(10**14, 10**15):015d}" for number in range(4_000)),
    "like accounts": " ".join(f"DE{random.Random(number).randint(0, 10**20):020d}" for number in range(4_000)),
    "addresses": " ".join(f"u{number}@corp{number}.example" for number in range(4_000)),
    "passwords": "://user:longpassword@h " * 4_000,
}


@pytest.mark.parametrize("what", DENSE)
def test_work_is_linear_and_done_in_small_steps(what):
    text = DENSE[what] + " "
    longest, one = steps(text * 4)
    _, two = steps(text * 8)
    assert longest <= 64
    assert two <= 2.2 * one


def test_a_body_with_too_many_candidates_is_not_searched_further():
    search = Search(detector(PERSONAL), 100)
    assert len([one for one in search("a@example.org " * 60) if one]) == 60
    with pytest.raises(TooMany):
        list(search("a@example.org " * 60))


def test_lone_surrogates_are_no_obstacle():
    text = "\ud800 ada@example.org \udfff"
    assert [text[found.start : found.end] for found in detector(PERSONAL)(text)] == ["ada@example.org"]


def test_only_what_is_sought_is_found():
    text = "ada@example.org AKIAIOSFODNN7EXAMPLE"
    assert [found.kind for found in detector(PERSONAL)(text)] == ["EMAIL"]
    assert [found.kind for found in detector(CREDENTIALS)(text)] == ["SECRET"]
    assert [found.kind for found in detector(frozenset(Sought))(text)] == ["EMAIL", "SECRET"]


def test_few_patterns_are_left_out_and_none_is_matched_by_backtracking():
    detect = detector(CREDENTIALS)
    assert detect.skipped <= 6
    assert len(detect._rules) >= 20
    assert detect("aws" + "a" * 200_000) == []  # a backtracking engine is quadratic here
