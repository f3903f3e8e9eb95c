"""The section `serve` as endless lengths and arrivals."""

import itertools
import json

import pytest

from harness.config.serving import ServeConfig
from harness.serving.load import arrivals_of, lengths_of, limits_of
from harness.system.errors import InputError


def serve(**keys):
    """A load whose defaults are written."""
    return ServeConfig(**{"prompt_tokens": 8, "output_tokens": 4} | keys)


def first(iterator, count):
    """The first few."""
    return list(itertools.islice(iterator, count))


def test_fixed_lengths_are_all_equal():
    """They never end."""
    found = first(lengths_of(serve(), 64, seed=0), 600)
    assert {(one.prompt_tokens, one.output_tokens) for one in found} == {(8, 4)}


def test_log_normal_lengths_scatter_within_the_row_and_repeat_by_seed():
    """Over more than one block."""
    load = serve(lengths="lognormal", sigma=1.0)
    found = first(lengths_of(load, 40, seed=3), 700)
    assert found == first(lengths_of(load, 40, seed=3), 700)
    assert found[:256] != found[256:512]
    assert max(one.prompt_tokens + one.output_tokens for one in found) <= 40
    assert 6 <= sorted(one.prompt_tokens for one in found)[350] <= 10


@pytest.mark.parametrize("process", ["constant", "poisson", "gamma"])
def test_open_arrivals_keep_their_rate_over_blocks(process):
    """A thousand at 50/s take about 20 s, and time never runs backwards."""
    more = {"burstiness": 2.0} if process == "gamma" else {}
    times = first(arrivals_of(serve(arrivals=process, rate_per_s=50, **more), seed=1), 1000)
    assert times == sorted(times)
    assert times[-1] == pytest.approx(20, rel=0.15)


def test_a_closed_loop_has_no_arrivals():
    """Its users ask when they are answered."""
    assert arrivals_of(serve(), seed=0) is None


def test_a_trace_is_repeated_at_its_own_rate_or_another(tmp_path):
    """Three arrivals in two seconds; the fourth is the first again, a mean gap later."""
    path = tmp_path / "trace.jsonl"
    rows = [
        {"prompt_tokens": i + 1, "output_tokens": 2, "arrival_s": 5.0 + at}
        for i, at in enumerate((0, 0.5, 2))
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    load = serve(arrivals="trace", lengths="trace", trace=str(path))
    assert first(arrivals_of(load, seed=0), 5) == pytest.approx([0, 0.5, 2, 3, 3.5])
    faster = load.model_copy(update={"rate_per_s": 2.0})
    assert first(arrivals_of(faster, seed=0), 4) == pytest.approx([0, 0.25, 1, 1.5])
    assert [one.prompt_tokens for one in first(lengths_of(load, 64, seed=0), 4)] == [1, 2, 3, 1]


def test_a_trace_without_arrivals_is_no_schedule(tmp_path):
    """It still tells lengths."""
    path = tmp_path / "trace.jsonl"
    path.write_text('{"prompt_tokens": 1, "output_tokens": 2}\n')
    with pytest.raises(InputError, match="no request tells when it arrives"):
        arrivals_of(serve(arrivals="trace", trace=str(path)), seed=0)


def test_limits_are_those_of_the_section():
    """Share and all."""
    limits = limits_of(serve(ttft_limit_s=0.5, good_share=0.99))
    assert (limits.ttft_s, limits.tpot_s, limits.share) == (0.5, None, 0.99)
