#!/usr/bin/env bash
# JAX 0.10.2 on the CPU, of a compiled program: `memory_analysis().peak_memory_in_bytes` leaves out the temporaries
# that the same analysis reports: a gradient through a loop "peaks" at a seventh of them. `cost_analysis()` counts the
# body of a loop once, although the program holds its length: a scan of ten products has a tenth of the FLOPs of the
# same ten written out.
#
# Good guess, and wrong: "the peak is at least the temporaries, and a loop of known length costs its length".
# Output seen (2 cores, Python 3.11.7):
#   written_out: FLOPs of 10.00 products
#   scanned: FLOPs of 1.00 products
#   gradient: peak below a fifth of its temporaries
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check jax==0.10.2 jaxlib==0.10.2
cd "$folder"
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PY' | tee "$folder/seen"
import jax

x = jax.ShapeDtypeStruct((64, 64), "float32")


def scanned(x):
    return jax.lax.scan(lambda y, _: (y @ x, None), x, None, length=10)[0]


def written_out(x):
    y = x
    for _ in range(10):
        y = y @ x
    return y


one = 2 * 64**3
for step in (written_out, scanned):
    flops = jax.jit(step).lower(x).compile().cost_analysis()["flops"]
    print(f"{step.__name__}: FLOPs of {flops / one:.2f} products")
memory = jax.jit(jax.grad(lambda x: scanned(x).sum())).lower(x).compile().memory_analysis()
peak, temporaries = memory.peak_memory_in_bytes, memory.temp_size_in_bytes
print(f"gradient: peak {'below' if peak < temporaries / 5 else 'above'} a fifth of its temporaries")
PY
diff "$folder/seen" - <<'SEEN'
written_out: FLOPs of 10.00 products
scanned: FLOPs of 1.00 products
gradient: peak below a fifth of its temporaries
SEEN
