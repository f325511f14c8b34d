"""Does the fast writer write what Python's own, slow one writes?"""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from generator import jsonout

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=20
)


@given(VALUES)
def test_it_writes_as_pythons_own_writer_does(value: Any) -> None:
    assert jsonout.dump(value) == json.dumps(value, indent=2, ensure_ascii=False) + "\n"
