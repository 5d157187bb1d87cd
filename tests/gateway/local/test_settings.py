"""What the broker is told, and what it does not start with."""

import pytest

from gateway.local.address import Tcp, Unix
from gateway.local.settings import Settings, SettingsError, addresses, check, from_table, read_file, refuse_credentials


def test_the_defaults():
    assert from_table({}) == Settings()
    assert (Settings().port, Settings().usual_ports, Settings().isolate) == (8081, True, False)


def test_every_key():
    table = {
        "port": 9,
        "engines": ["127.0.0.1:1"],
        "usual_ports": False,
        "origins": ["a://b"],
        "translate": True,
        "max_body_bytes": 7,
    }
    assert from_table(table) == Settings(
        9, (Tcp("127.0.0.1", 1),), False, frozenset(("a://b",)), True, max_body_bytes=7
    )


@pytest.mark.parametrize(
    "table",
    [
        {"prot": 1},
        {"port": "1"},
        {"port": 65_536},
        {"port": True},
        {"engines": "127.0.0.1:1"},
        {"engines": [1]},
        {"engines": ["localhost:1"]},
        {"translate": 1},
        {"server": {}},
    ],
)
def test_what_is_no_setting(table):
    with pytest.raises(SettingsError) as caught:
        from_table(table)
    assert caught.value.faults


def test_credentials_are_named_and_not_shown():
    with pytest.raises(SettingsError) as caught:
        refuse_credentials({"OPENAI_API_KEY": "sk-canary", "PATH": "x"}, {"providers": {"a": "sk-canary"}})
    text = " ".join(caught.value.faults)
    assert "OPENAI_API_KEY" in text
    assert "providers" in text
    assert "sk-canary" not in text


def test_files(tmp_path):
    path = tmp_path / "local.toml"
    with pytest.raises(SettingsError):
        read_file(path)
    path.write_text("port = ")
    with pytest.raises(SettingsError):
        read_file(path)
    path.write_text("port = 1")
    assert read_file(path) == {"port": 1}


def test_what_does_not_go_together():
    for settings in (
        Settings(engine_command=("x",)),
        Settings(isolate=True),
        Settings(isolate=True, engines=addresses(["127.0.0.1:1"])),
        Settings(port=5, engines=addresses(["127.0.0.1:5"])),
    ):
        with pytest.raises(SettingsError):
            check(settings)
    for settings in (Settings(isolate=True, engine_command=("x",)), Settings(isolate=True, engines=(Unix("/x"),))):
        assert check(settings) is settings
