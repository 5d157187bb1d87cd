"""What a worker has built reaches its parts in small groups."""

import dataclasses
import re
from pathlib import Path

import pytest

from gateway.inference import services
from gateway.inference.services import Rules, Services

ROOT = Path(__file__).parents[3]
GROUPS = [
    kind for kind in vars(services).values() if dataclasses.is_dataclass(kind) and kind.__module__ == services.__name__
]
WHOLE = {
    "gateway/api/dispatch.py",
    "gateway/inference/exchange.py",
    "gateway/process/app.py",
    "gateway/process/reloading.py",
    "gateway/process/upkeep.py",
}
MOST_FIELDS = 9


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.__name__)
def test_a_group_is_small_and_does_not_change(group):
    assert len(dataclasses.fields(group)) <= MOST_FIELDS
    assert group.__dataclass_params__.frozen is (group is not Rules)


def test_the_services_hold_each_other_group_once():
    assert [field.type for field in dataclasses.fields(Services)] == [
        group.__name__ for group in GROUPS if group is not Services
    ]


def test_only_those_who_hand_out_parts_have_all_of_them():
    whole = re.compile(r"^from gateway\.inference\.services import .*\bServices\b", re.MULTILINE)
    found = {
        path.relative_to(ROOT).as_posix() for path in (ROOT / "gateway").rglob("*.py") if whole.search(path.read_text())
    }
    assert found == WHOLE


def test_one_place_replaces_the_catalog():
    written = re.compile(r"\.catalog = ")
    found = [path.name for path in (ROOT / "gateway").rglob("*.py") if written.search(path.read_text())]
    assert found == ["upkeep.py"]
