"""The table of fields and the page that describes it."""

import re
from pathlib import Path

import mujoco.batch

from sim2real.domains.model_fields.table import FIELDS, TABLES

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "fields.md"


def test_the_page_states_every_field_and_component():
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    documented = {
        name: row for row in rows for name in re.findall(r"`([\w.]+)`", row.split("|")[1])
    }
    assert set(documented) == set(FIELDS)
    for name, field in FIELDS.items():
        for component in field.components:
            assert f"`{component}`" in documented[name], f"{name} {component}"


def test_every_field_is_an_array_a_table_or_found():
    for name, field in FIELDS.items():
        known = name in mujoco.batch.MODEL_FIELDS or name in TABLES
        assert known or field.find is not None, name
        assert set(field.bounds) <= set(field.components), name
