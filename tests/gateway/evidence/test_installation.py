"""The comparison of installed files with a list, as a pure function."""

from __future__ import annotations

import hashlib
import importlib.util
import marshal
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.evidence.installation import Differences, ManifestError, compare, in_package, recorded

TAG = sys.implementation.cache_tag
SOURCE = b'"""Text."""\nassert True\nA = 1\ndef f(x):\n    """Said."""\n    return lambda: (x, {1, 2})\n'
LISTED = {"gateway/a-1.py": hashlib.sha256(SOURCE).hexdigest()}
HEADER = importlib.util.MAGIC_NUMBER + bytes(12)
EMPTY = "sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"

FILES = st.dictionaries(st.sampled_from([f"gateway/{name}" for name in "abcdef"]), st.binary(max_size=2))


@given(FILES, FILES)
def test_each_path_is_in_exactly_the_list_that_fits(released: dict[str, bytes], found: dict[str, bytes]) -> None:
    said = compare({path: hashlib.sha256(data).hexdigest() for path, data in released.items()}, found)
    assert set(said.missing) == released.keys() - found.keys()
    assert set(said.added) == found.keys() - released.keys()
    assert set(said.changed) == {path for path in released.keys() & found if released[path] != found[path]}
    assert bool(said) == (released != found)


def cached(source: bytes, level: int = 0) -> bytes:
    return HEADER + marshal.dumps(compile(source, "elsewhere.py", "exec", dont_inherit=True, optimize=level))


@pytest.mark.parametrize(("level", "suffix"), [(0, ""), (1, ".opt-1"), (2, ".opt-2")])
def test_the_cached_compilation_of_a_listed_source_is_no_difference(level: int, suffix: str) -> None:
    path = f"gateway/__pycache__/a-1.{TAG}{suffix}.pyc"
    assert not compare(LISTED, {"gateway/a-1.py": SOURCE, path: cached(SOURCE, level)})


@pytest.mark.parametrize(
    "data",
    [
        cached(SOURCE.replace(b"A = 1", b"A = 2")),
        cached(SOURCE.replace(b"(x, {1, 2})", b"(x, {1, 3})")),
        cached(SOURCE, 2),
        cached(SOURCE)[:-1],
        HEADER,
        b"",
        HEADER + marshal.dumps(1),
    ],
)
def test_a_cached_compilation_of_something_else_is_changed(data: bytes) -> None:
    path = f"gateway/__pycache__/a-1.{TAG}.pyc"
    assert compare(LISTED, {"gateway/a-1.py": SOURCE, path: data}) == Differences((path,), (), ())


@pytest.mark.parametrize(
    "path",
    [
        f"gateway/__pycache__/b-1.{TAG}.pyc",  # of a source that is not listed
        "gateway/__pycache__/a-1.cpython-27.pyc",  # of another interpreter, which could run it
        "gateway/a.pyc",
        f"gateway/a.{TAG}.pyc",
        f"gateway/__pycache__/a-1.{TAG}.so",
    ],
)
def test_a_compilation_that_nothing_listed_explains_is_added(path: str) -> None:
    assert compare(LISTED, {"gateway/a-1.py": SOURCE, path: cached(SOURCE)}) == Differences((), (), (path,))


def test_the_cache_of_a_changed_source_is_not_named_too() -> None:
    path = f"gateway/__pycache__/a-1.{TAG}.pyc"
    said = compare(LISTED, {"gateway/a-1.py": b"A = 3\n", path: cached(b"A = 3\n")})
    assert said == Differences(("gateway/a-1.py",), (), ())


def test_a_record_is_read_as_installers_write_it() -> None:
    text = (
        f'../../bin/codegrex-gateway,{EMPTY},200\n"gateway/a,b.py",{EMPTY},0\ngateway/c-1.py,{EMPTY},0\n'
        f"gateway/__pycache__/c-1.{TAG}.pyc,,\ncodegrex_gateway-1.dist-info/RECORD,,\n\n"
    )
    digest = hashlib.sha256(b"").hexdigest()
    assert recorded(text) == {"gateway/a,b.py": digest, "gateway/c-1.py": digest}


@pytest.mark.parametrize(
    "line",
    [
        "gateway/a-1.py,,",
        "gateway/a-1.py",
        "gateway/a-1.py,md5=AAAA,1",
        "gateway/a-1.py,sha256=AAAA,1",
        "gateway/a-1.py,sha256=!,",
    ],
)
def test_a_record_that_does_not_cover_a_file_is_no_list(line: str) -> None:
    with pytest.raises(ManifestError, match="without SHA-256"):
        recorded(f"gateway/b-1.py,{EMPTY},0\n{line}\n")


def test_a_record_without_files_is_no_list() -> None:
    with pytest.raises(ManifestError, match="none of its files"):
        recorded("codegrex_gateway-1.dist-info/RECORD,,\n")


def test_only_paths_below_the_package_s_folders_are_the_package_s() -> None:
    assert in_package("gateway/a-1.py")
    for path in ("/gateway/a-1.py", "gateway/../a-1.py", "../gateway/a-1.py", "gateway_other/a.py", "a.py", ""):
        assert not in_package(path)
