"""Check the kernels' machine code: the instructions meant are there, and nothing spills.

    python tools/sass_lint.py            compile every kernel for every architecture, disassemble, and judge

It needs the wheels of NVRTC and of the disassembler (the `test` extra), and neither nvcc nor a GPU.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from harness.shim.cuda import images
from harness.shim.cuda.nvrtc import compiler_for

Code = dict[str, Counter[str]]
"""By kernel, how often each instruction occurs (with the special register that it reads)."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Instructions matching `pattern` occur at least `least` times in kernels matching `kernel`."""

    kernel: str
    pattern: str
    least: int


RULES = (
    Rule(r"fma_f32", r"FFMA\b", 256),
    Rule(r"fma_f64", r"DFMA\b", 256),
    Rule(r"mad_i32", r"IMAD\b", 256),
    Rule(r"mma_bf16", r"HMMA\.16816\.F32\.BF16", 32),
    Rule(r"mma_fp16", r"HMMA\.(16816|1688)\.F32", 32),
    Rule(r"mma_tf32", r"HMMA\.1688\.F32\.TF32", 32),
    Rule(r"mma_int8", r"IMMA\.(16832|8816)\.S8\.S8", 32),
    Rule(r"mma_fp8", r"QMMA\.16832\.F32\.E4M3\.E4M3", 32),
    Rule(r"wgmma_bf16", r"HGMMA\.64x256x16\.F32\.BF16", 4),
    Rule(r"wgmma_fp16", r"HGMMA\.64x256x16\.F32", 4),
    Rule(r"wgmma_tf32", r"HGMMA\.64x256x8\.F32\.TF32", 4),
    Rule(r"wgmma_fp8", r"QGMMA\.64x256x32\.F32\.E4M3\.E4M3", 4),
    Rule(r"wgmma_int8", r"IGMMA\.64x256x32\.S8\.S8", 4),
    Rule(r"tcgen05_(bf16|fp16|tf32)", r"UTCHMMA", 4),
    Rule(r"tcgen05_fp8", r"UTCQMMA", 4),
    Rule(r"tcgen05_int8", r"UTCIMMA", 4),
    Rule(r"read_sweep|copy_sweep", r"LDG\.E\.128", 4),
    Rule(r"triad", r"LDG\.E\.128", 4),
    Rule(r"write_sweep|fill_random|triad", r"STG\.E\.128", 1),
    Rule(r"copy_sweep", r"STG\.E\.128", 4),
    Rule(r"chase_l1", r"LDG\.E\.STRONG\.(SM|CTA)", 1),
    Rule(r"chase_l2", r"LDG\.E\.STRONG\.GPU", 1),
    Rule(r"barrier", r"BAR\.SYNC", 1),
    Rule(r"tick_probe|stamp|gate|spin|chase_l[12]", r"\w+ .*SR_GLOBALTIMER", 1),
    Rule(r"stamp|spin|barrier|chase_l[12]", r"\w+ .*SR_CLOCK", 1),
)
FORBIDDEN = re.compile(r"(LDL|STL)\b")
"""Local memory: a spilled register or an array that no register holds."""


def disassembler() -> str | None:
    """Return the path of `nvdisasm`: from its wheel, else from PATH."""
    spec = importlib.util.find_spec("nvidia")
    for root in (spec.submodule_search_locations or ()) if spec else ():
        for file in Path(root).glob("*/bin/nvdisasm"):
            return str(file)
    return shutil.which("nvdisasm")


def disassemble(cubin: bytes, nvdisasm: str) -> Code:
    """Return the instructions of each kernel of an image.

    Raises:
        subprocess.CalledProcessError: the disassembler refused the image.
    """
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        text = subprocess.run([nvdisasm, "-c", file.name], capture_output=True, text=True, check=True).stdout
    code: Code = {}
    kernel: Counter[str] = Counter()
    for line in text.splitlines():
        if label := re.match(r"\.text\.(\w+):", line):
            kernel = code.setdefault(label[1], Counter())
        elif found := re.match(r"\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)(.*)", line):
            special = re.search(r"SR_\w+", found[2])
            kernel[f"{found[1]} {special[0]}" if special else found[1]] += 1
    return code


def lint(code: Code) -> list[str]:
    """Return what is wrong with an image's kernels; nothing is the answer hoped for."""
    wrong = []
    for kernel, instructions in code.items():
        for rule in RULES:
            if not re.fullmatch(rule.kernel, kernel):
                continue
            count = sum(n for name, n in instructions.items() if re.match(rule.pattern, name))
            if count < rule.least:
                wrong.append(f"{kernel}: {count} of at least {rule.least} instructions {rule.pattern}")
        spilled = sum(n for name, n in instructions.items() if FORBIDDEN.match(name))
        if spilled:
            wrong.append(f"{kernel}: {spilled} accesses to local memory")
    return wrong


def main() -> int:
    """Judge every unit for every architecture that it is released for."""
    nvdisasm = disassembler()
    if nvdisasm is None:
        print("no nvdisasm: install the wheel nvidia-cuda-nvdisasm", file=sys.stderr)
        return 2
    pairs = [(unit, a) for unit in images.UNITS for a in images.built_for(unit)]

    def judge(pair: tuple[str, str]) -> list[str]:
        unit, architecture = pair
        compiler = compiler_for(architecture)
        cubin = compiler.compile(images.source(unit), architecture, headers=images.headers())
        return [f"{unit} sm_{architecture}: {line}" for line in lint(disassemble(cubin, nvdisasm))]

    with ThreadPoolExecutor() as pool:
        wrong = [line for lines in pool.map(judge, pairs) for line in lines]
    print(
        "\n".join(wrong) if wrong else f"{len(pairs)} images: the instructions meant are there, none spills"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
