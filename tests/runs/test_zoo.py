"""The page of the shipped policies is that of their cards."""

from __future__ import annotations

from pathlib import Path

from sim2real.runs.pretrained import pretrained_names, read_card
from sim2real.runs.zoo import worst_of, zoo

PAGE = Path(__file__).parents[2] / "docs" / "zoo.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == zoo(), "run `python scripts/zoo.py`"


def test_every_policy_and_domain_is_there() -> None:
    page = zoo()
    for name in pretrained_names():
        assert f"`pretrained:{name}`" in page
        own = page.split(f"## {name.replace('_', '-')}\n")[1].split("\n## ")[0]
        card = read_card(f"pretrained:{name}")
        assert all(f"| `{one['domain']}`" in own for one in card["domains"])
        assert own.count("**worst**") == 1


def test_a_domain_without_a_return_is_the_worst() -> None:
    domains = [{"mean_return": -5.0}, {"mean_return": None}, {"mean_return": -9.0}]
    assert worst_of(domains) == {"mean_return": None}
    assert worst_of(domains[:1]) == {"mean_return": -5.0}
