from __future__ import annotations

import pytest

from workloads import registry
from workloads.sizes import resolve_size

GPT = registry.get("gpt").spec


def test_overrides_replace_single_values_and_none_keeps_the_size_s_own():
    """An override changes its key alone; None is no override."""
    size = resolve_size(GPT, "tiny", {"batch": 3, "seq": None})
    assert size == {**GPT.sizes["tiny"], "batch": 3}


def test_none_for_a_key_that_the_workload_lacks_is_no_override():
    """The configuration gives every workload `seq: null`, also those that have no sequence."""
    spec = registry.get("resnet").spec
    assert resolve_size(spec, "tiny", {"seq": None}) == spec.sizes["tiny"]


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "8"])
def test_a_size_that_is_no_positive_whole_number_is_refused_by_name(value):
    """The message names the workload, the key and the value."""
    with pytest.raises(ValueError, match=r"gpt: batch must be a whole number of at least 1, not "):
        resolve_size(GPT, "tiny", {"batch": value})


def test_a_size_that_no_machine_has_is_refused():
    """A digit too many is found out when the sweep is planned."""
    assert resolve_size(GPT, "tiny", {"vocab": 2**31 - 1})["vocab"] == 2**31 - 1
    with pytest.raises(ValueError, match="gpt: vocab must be at most 2147483647, not 2147483648"):
        resolve_size(GPT, "tiny", {"vocab": 2**31})


def test_an_unknown_key_is_refused_with_the_nearest_one():
    """A typing error is answered with what was probably meant."""
    with pytest.raises(ValueError, match=r"gpt has no size key 'layer'; did you mean layers\?"):
        resolve_size(GPT, "tiny", {"layer": 2})


def test_an_unknown_key_without_a_near_one_lists_what_there_is():
    """Where nothing is near, all keys are named."""
    with pytest.raises(ValueError, match=r"resnet has no size key 'seq'; there are: batch, image, classes"):
        resolve_size(registry.get("resnet").spec, "tiny", {"seq": 8})


def test_an_unknown_size_is_refused_with_the_nearest_one():
    """The same courtesy for the size's own name."""
    with pytest.raises(ValueError, match=r"gpt has no size 'larg'; did you mean large\?"):
        resolve_size(GPT, "larg", {})


def test_text_values_keep_their_type():
    """A size may hold words; a number in their place is refused."""
    spec = registry.get("faults").spec
    assert resolve_size(spec, "tiny", {"fault": "raise"})["fault"] == "raise"
    with pytest.raises(ValueError, match="fault must be of type str, not 3"):
        resolve_size(spec, "tiny", {"fault": 3})
