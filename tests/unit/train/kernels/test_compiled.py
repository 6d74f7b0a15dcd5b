"""Kernels compile for NVIDIA's cards, registers and shared memory included; no card is needed for that."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# Triton's functions are compiled or interpreted for a whole process.
PROGRAM = """
import subprocess, sys, tempfile
from pathlib import Path

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from adapterlab.train.kernels import with_triton as kernels

capability, kind = int(sys.argv[1]), sys.argv[2]
block_q, block_k = kernels.BLOCKS[2 if kind == "bf16" else 4]
rows, inspect = "*" + kind, Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
strides = {"q_stride": "i32", "k_stride": "i32", "v_stride": "i32"}
told = {
    **dict.fromkeys(["starts", "lengths", "keys", "lanes", "places"], "*i64"),
    **dict.fromkeys(["site0", "site1", "dropped"], "i32"), "factor": "fp32", "scale": "fp32",
    **dict.fromkeys(["heads", "width", "looking", "one_row"], "i32"),
}
blocks = {"DROPS": True, "BLOCK_Q": block_q, "BLOCK_K": block_k, "BLOCK_E": 64, "SUMS": tl.float32}
given = {**dict.fromkeys(["q", "k", "v", "gathered", "gradient"], rows), "sums": "*fp32"}
drawn = {**dict.fromkeys(["keys", "lanes", "places"], "*i64"), **dict.fromkeys(["site0", "site1", "dropped"], "i32")}
sources = {
    kernels._attend: (dict.fromkeys(["q", "k", "v", "gathered"], rows) | {"sums": "*fp32"} | strides | told, blocks),
    kernels._to_queries: (given | {"to_q": rows} | strides | told, blocks),
    kernels._to_keys: (given | {"to_k": rows, "to_v": rows} | strides | told, blocks),
    kernels._drop: (
        dict.fromkeys(["x", "added", "out"], rows) | {"x_stride": "i32", "added_stride": "i32"} | drawn
        | {"factor": "fp32", "width": "i32"},
        {"ADDS": True, "BLOCK": 1024, "SUMS": tl.float32},
    ),
    kernels._lay: ({"x": rows, "rows": "*i64", "out": rows, "width": "i32"}, {"BLOCK": 1024}),
    kernels._adamw: (
        {"places": "*i64", "numbers": "*fp32", "scales": "*fp64", "diverged": "*fp32"}
        | dict.fromkeys(["one_minus_beta1", "beta2", "one_minus_beta2"], "fp32"),
        {"BLOCK": 1024},
    ),
    kernels._keep: (
        {"mask": "*u8", "ends": "*i64", "keys": "*i64", "dropped": "*i32", "site0": "i32", "site1": "i32"},
        {"BLOCK": 1024},
    ),
}
for function, (signature, constants) in sources.items():
    order = [*signature, *constants]
    assert order == [name for name in function.arg_names if name in order], function.arg_names
    aligned = {
        (place,): [["tt.divisibility", 16]]
        for place, name in enumerate(order)
        if str(signature.get(name, "")).startswith("*") or name.endswith("stride") or name == "width"
    }
    source = ASTSource(function, signature | dict.fromkeys(constants, "constexpr"), constants, aligned)
    compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": 4})
    with tempfile.NamedTemporaryFile() as binary:
        binary.write(compiled.asm["cubin"])
        binary.flush()
        usage = subprocess.run([inspect, "-res-usage", binary.name], capture_output=True, text=True, check=True)
    stack = int(usage.stdout.split("STACK:")[1].split()[0])
    print(function.__name__, compiled.metadata.shared, stack)
"""


@pytest.mark.slow
@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("kind", ["bf16", "fp32"])
def test_kernels_compile_and_fit(capability, kind):
    triton = pytest.importorskip("triton", reason="Triton is made for Linux alone")
    if not triton.backends.backends.get("nvidia"):
        pytest.skip("this build of Triton compiles for other cards")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(capability), kind],
        env={name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) == 7
    for _, shared, stack in lines:
        assert int(shared) <= 99 * 1024  # what the smallest of these cards gives a block
        assert int(stack) == 0  # nothing is spilled into memory
