"""How a team of threads waits."""

import pytest

from harness.system.threads import parse_wait, wait_environment, wait_of


@pytest.mark.parametrize("wait", ["active", "passive", "spin:1000"])
def test_a_policy_survives_its_variables(wait):
    """What is asked for is what a process with these variables says of itself."""
    assert wait_of(wait_environment(parse_wait(wait))) == wait


@pytest.mark.parametrize(
    "wait", ["", "spin", "spin:", "spin:-1", "spin:x", "spin:1e3", "spin:99999999999", "off"]
)
def test_other_words_are_refused(wait):
    """The message says what there is."""
    with pytest.raises(ValueError, match="auto, active, passive or spin:N"):
        parse_wait(wait)
