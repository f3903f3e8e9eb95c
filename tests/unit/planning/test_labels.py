"""What trials are called, and how equal ones are told apart."""

from __future__ import annotations

from harness.config.models import Config
from harness.planning.labels import LONGEST, label, told_apart


def config(workload=None, **sections) -> Config:
    """Return a configuration of GPT unless told otherwise."""
    return Config.model_validate({"workload": {"name": "gpt", **(workload or {})}, **sections})


def test_a_label_names_what_is_not_plain():
    """Workload, size, mode and precision always; compression, strategy and optimisation where asked for."""
    assert label(config()) == "gpt tiny train fp32"
    assert (
        label(
            config(
                {"size": "base", "mode": "decode"},
                precision={"name": "bf16"},
                compress={"name": "int8_weight"},
                parallel={"name": "tensor", "ranks": 2},
                optimize={"name": "graphs"},
            )
        )
        == "gpt base decode bf16 int8_weight tensor graphs x2"
    )


def test_the_user_s_own_is_named_without_its_folder():
    """A path tells of a machine; the last part tells of the model."""
    own = config({"name": "user", "folder": "/home/someone/llama-7b"})
    assert label(own) == "user llama-7b tiny train fp32"
    assert label(config({"name": "user", "factory": "nets:make"})) == "user nets:make tiny train fp32"


def test_equal_labels_are_told_apart_by_what_differs():
    """And by nothing else; unequal ones stay as they are."""
    labels = told_apart([config({"batch": 8}), config({"batch": 16}), config(precision={"name": "bf16"})])
    assert labels == ["gpt tiny train fp32 batch=8", "gpt tiny train fp32 batch=16", "gpt tiny train bf16"]


def test_settings_that_only_one_has_tell_it_apart():
    """The other has no such key."""
    one, other = told_apart([config({"shape": {"layers": 4}}), config()])
    assert one == "gpt tiny train fp32 layers=4"
    assert other == "gpt tiny train fp32"


def test_run_control_and_prices_are_in_no_label():
    """They make no other trial."""
    labels = told_apart([config(run={"timeout_s": 5}), config(price={"name": "eu"}), config({"batch": 2})])
    assert not any("timeout" in each or "eu" in each for each in labels)


def test_labels_have_a_longest():
    """A name without end fits a table."""
    assert len(told_apart([config({"data": "x" * 500}), config({"data": "y" * 500})])[0]) == LONGEST


def test_several_servers_are_named_one_after_the_other():
    """As a user would, and not as Python shows them."""
    a, b = "http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1"
    endpoint = {"name": "endpoint", "mode": "serve", "model": "m"}
    assert told_apart([config({**endpoint, "url": a}), config({**endpoint, "url": [a, b]})]) == [
        f"endpoint m serve url={a}",
        f"endpoint m serve url={a}+{b}",
    ]
