from __future__ import annotations

from gateway.config.supabase import Assurance
from tests.gateway.config.parsing import parse


def test_anonymous_users_and_one_factor_are_the_defaults_of_a_policy() -> None:
    table = '[supabase]\nurl = "https://p.example"\n{}\n[portal]\nsign_in_url = "https://a.example"\n'
    usual, stated = (parse(table.format(more)).supabase for more in ("", 'allow_anonymous = true\nmin_aal = "aal2"'))
    assert usual is not None
    assert stated is not None
    assert (usual.allow_anonymous, usual.min_aal) == (False, Assurance.AAL1)
    assert (stated.allow_anonymous, stated.min_aal) == (True, Assurance.AAL2)
