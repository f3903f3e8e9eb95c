"""What XLA compiles is counted, and never done within a span."""

import jax
import jax.numpy as jnp
import pytest

from workloads.jax.compiles import CompileWatch, compile_ahead

pytestmark = pytest.mark.xla


def double(x):
    """Return twice x."""
    return x * 2


def test_a_program_is_compiled_once_and_takes_one_shape(xla):
    """Its cost and memory are XLA's own; other shapes and types raise instead of compiling."""
    watch = CompileWatch()
    x = jnp.ones((8, 4))
    program = watch.add(compile_ahead("double", double, x))
    with watch.watch():
        made = program.call(x)
    assert (watch.within, float(made[0, 0])) == (0, 2.0)
    with pytest.raises(TypeError):
        program.call(jnp.ones((8, 5)))
    assert program.cost["flops"] >= 32
    assert program.memory["output_bytes"] == 8 * 4 * 4
    assert program.compile_s > 0
    assert str(watch) == "compiled by XLA, 1 program"


def test_xla_counts_the_body_of_a_loop_once(xla):
    """As docs/xla.md says of its FLOPs: ten products in a scan cost one."""
    x = jnp.ones((64, 64))
    loop = compile_ahead("loop", lambda x: jax.lax.scan(lambda y, _: (y @ x, None), x, None, length=10)[0], x)
    assert loop.cost["flops"] == pytest.approx(2 * 64**3, rel=0.01)


def test_what_is_compiled_in_a_span_is_counted(xla):
    """A new shape of a plain jit compiles again; the same shape does not."""
    jitted = jax.jit(lambda x: jnp.sin(x) * 3)
    inputs = [jax.device_put(jnp.ones(n)) for n in (11, 12, 13)]
    watch = CompileWatch()
    jitted(inputs[0])
    with watch.watch():
        jitted(inputs[0])
    assert watch.within == 0
    with watch.watch():
        jitted(inputs[1])
        jitted(inputs[2])
        jitted(inputs[1])
    assert watch.within == 2


def test_a_program_from_the_persistent_cache_is_no_compile(xla, tmp_path):
    """A hit fires the event of a compile too, and is taken off."""
    kept = {
        "jax_compilation_cache_dir": str(tmp_path),
        "jax_persistent_cache_min_compile_time_secs": 0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    before = {key: getattr(jax.config, key) for key in kept}
    from jax.experimental.compilation_cache import compilation_cache

    try:
        for key, value in kept.items():
            jax.config.update(key, value)
        compilation_cache.reset_cache()
        x = jax.device_put(jnp.ones(17))
        watch = CompileWatch()
        with watch.watch():
            jax.jit(lambda x: jnp.cos(x) + 5)(x).block_until_ready()
        assert watch.within == 1
        with watch.watch():
            jax.jit(lambda x: jnp.cos(x) + 5)(x).block_until_ready()
        assert watch.within == 0
    finally:
        for key, value in before.items():
            jax.config.update(key, value)
        compilation_cache.reset_cache()
