"""A golden file with a difference determines its text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.support.golden import difference

# Few lines of few kinds, so that they are often alike; with and without a newline at the end.
texts = st.lists(st.sampled_from(["a", "b", "", " a", "-a", "+a"]), max_size=6).map("\n".join)


@given(base=texts, one=texts, other=texts)
def test_only_the_same_text_has_the_same_difference(base: str, one: str, other: str) -> None:
    assert (difference(base, one) == difference(base, other)) == (one == other)
