#!/usr/bin/env bash
# On the CPU, JAX 0.10.2 returns at once from a compiled program and works on in the background, but runs a program
# that holds a Python callback within the call that launches it: such a step cannot show whether a fence waits. It is
# launched in the background again when its inputs are not ready yet.
#
# Good guess, and wrong: "a 100 ms callback inside a jitted step stands for 100 ms of asynchronous work".
# Output seen (2 cores, Python 3.11.7):
#   plain program: launched in the background
#   callback, inputs ready: within the call
#   callback, inputs not ready: launched in the background
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check jax==0.10.2 jaxlib==0.10.2
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PY' | tee "$folder/seen"
import time

import jax
import jax.numpy as jnp

CALLBACK_S = 0.2
square = jax.ShapeDtypeStruct((512, 512), "float32")
one = jax.ShapeDtypeStruct((), "float32")


def slowly(x):
    time.sleep(CALLBACK_S)
    return x


plain = jax.jit(lambda x: jax.lax.fori_loop(0, 60, lambda _, y: y @ x, x)).lower(square).compile()
calls = jax.jit(lambda x: jax.pure_callback(slowly, one, x[0, 0]) + 1).lower(square).compile()


def show(name, launch):
    """Say where most of the time of a launch and its fence went."""
    began = time.perf_counter()
    made = launch()
    launched = time.perf_counter()
    made.block_until_ready()
    within = launched - began > 0.5 * (time.perf_counter() - began)
    print(f"{name}: {'within the call' if within else 'launched in the background'}")


x = jnp.zeros((512, 512))
plain(x).block_until_ready()
show("plain program", lambda: plain(x))
show("callback, inputs ready", lambda: calls(x))
show("callback, inputs not ready", lambda: calls(plain(x)))
PY
diff "$folder/seen" - <<'SEEN'
plain program: launched in the background
callback, inputs ready: within the call
callback, inputs not ready: launched in the background
SEEN
