"""Coverage-guided fuzzing of every reader of untrusted files, ten minutes shared among them.

Inputs that reach new code are kept below `build/fuzz/READER` and begin the next run; what makes a reader fail
is left below `build/fuzz/faults`. Atheris is installed for it alone: `pip install atheris`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "build" / "fuzz"
MOST_BYTES, MOST_MB, MOST_S = 1 << 16, 1024, 5
sys.path.insert(0, str(ROOT / "tests"))


def fuzz(name: str, seconds: int) -> None:
    """Fuzz one reader in this process, which ends with it."""
    import atheris

    with atheris.instrument_imports(include=["harness"], enable_loader_override=False):
        from standins import readers

    folder = KEPT / name
    folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(readers.seeds()[name]):
        (folder / f"seed-{number}").write_bytes(data)
    (KEPT / "faults").mkdir(exist_ok=True)
    read = readers.READERS[name]
    options = [
        *(f"-max_total_time={seconds}", f"-max_len={MOST_BYTES}", f"-rss_limit_mb={MOST_MB}"),
        *(f"-timeout={MOST_S}", f"-artifact_prefix={KEPT / 'faults'}/{name}-", "-print_final_stats=1"),
    ]
    atheris.Setup([sys.argv[0], *options, str(folder)], lambda data: void(readers.refuses(read, data)))
    atheris.Fuzz()


def void(_refused: object) -> None:
    """Return nothing, as the fuzzer asks."""


def main() -> int:
    """Fuzz every reader in a process of its own; 1 where one failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reader", help="only this one, in this process")
    parser.add_argument("--seconds", type=int, default=600, help="of all together")
    options = parser.parse_args()
    if options.reader:
        fuzz(options.reader, options.seconds)
        return 0
    from standins.readers import READERS

    each, failed = max(1, options.seconds // len(READERS)), []
    for name in READERS:
        words = [sys.executable, __file__, "--reader", name, "--seconds", str(each)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        lines = [line for line in done.stderr.splitlines() if "number_of_executed_units" in line]
        runs = lines[-1].split()[-1] if lines else "?"
        kept = len(list((KEPT / name).iterdir()))
        print(
            f"{name:28} {runs:>9} inputs, {kept:4} kept: {'FAILED' if done.returncode else 'no fault'}",
            flush=True,
        )
        if done.returncode:
            failed.append(name)
            print(done.stdout[-2000:] + done.stderr[-3000:], file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    raise SystemExit(main())
