"""The library's caches by whatever word its models take them."""

import inspect

import pytest

pytest.importorskip("transformers", reason="the extra hf is not installed")

import transformers

from workloads.hf import cache


def older(input_ids, past_key_values=None, use_cache=None):
    """Take a cache as models up to 5.23 do."""


def newer(input_ids, cache=None, use_cache=None):
    """Take a cache as models from 5.24 on do."""


@pytest.mark.parametrize(("function", "word"), [(older, "past_key_values"), (newer, "cache")])
def test_both_spellings_are_known(function, word):
    """5.24 renames the argument, and drops the old word in 5.40."""
    assert cache.cache_word(function) == word


@pytest.mark.parametrize("name", ["T5", "Whisper", "Llava"])
def test_the_models_of_this_version_take_the_word(name):
    """It is in their signature itself, so that none of them warns of it."""
    forward = getattr(transformers, f"{name}ForConditionalGeneration").forward
    empty = cache.decoder_cache(1, 4)
    assert set(empty.given) <= set(inspect.signature(forward).parameters)
    assert empty.given[cache.WORD] is empty.held
