"""Vectors: how wide they are on this processor, and the handful of LLVM instructions that everything is made of.

Whoever wants to understand a kernel needs ``lanes.py``, which says what its words mean; this says how they are made.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numba
from llvmlite import ir
from numba.extending import intrinsic

__all__ = [
    "I64",
    "LANES",
    "REGISTERS",
    "VECTOR",
    "exchanged",
    "multiply_add",
    "pointer_to",
    "read_vector",
    "repeat",
    "repeat_integer",
    "vector_code",
    "write_vector",
]


_config: Any = numba.config


def _has(feature: str) -> bool:
    # The same two variables by which Numba itself can be told to compile for a smaller processor.
    if _config.CPU_NAME or _config.CPU_FEATURES:
        return f"+{feature}" in (_config.CPU_FEATURES or "")
    return bool(llvm.get_host_cpu_features().get(feature, False))


#: float32 numbers in one vector register, and so images in one block.
LANES = 16 if _has("avx512f") else 8 if _has("avx") else 4

#: Vector registers of the processor: x86 has 32 from AVX-512 on and 16 before, 64-bit ARM has 32.
REGISTERS = 32 if LANES == 16 or platform.machine().lower() in ("aarch64", "arm64") else 16

I64 = ir.IntType(64)
_FLOAT = ir.FloatType()
VECTOR = ir.VectorType(_FLOAT, LANES)


def vector_code(function: Callable[..., Any]) -> Any:
    """Make a function that kernels can call and that writes its instructions itself."""
    return intrinsic(function)


def pointer_to(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    """Emit the address of ``array.flat[index]``."""
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [index])


def _vector_pointer(builder: Any, pointer: Any, n_vectors: int) -> Any:
    return builder.bitcast(builder.gep(pointer, [I64(n_vectors * LANES)]), VECTOR.as_pointer())


def read_vector(builder: Any, pointer: Any, n_vectors: int = 0) -> Any:
    """Emit the load of the vector that begins ``n_vectors`` after the pointer."""
    vector = builder.load(_vector_pointer(builder, pointer, n_vectors))
    vector.align = 4
    return vector


def write_vector(builder: Any, vector: Any, pointer: Any, n_vectors: int = 0) -> None:
    """Emit the store of a vector to where the ``n_vectors``-th after the pointer stands."""
    builder.store(vector, _vector_pointer(builder, pointer, n_vectors)).align = 4


def repeat(builder: Any, number: Any) -> Any:
    undefined = ir.Constant(VECTOR, ir.Undefined)
    first = builder.insert_element(undefined, number, ir.IntType(32)(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES))


def repeat_integer(builder: Any, number: Any) -> Any:
    undefined = ir.Constant(ir.VectorType(I64, LANES), ir.Undefined)
    first = builder.insert_element(undefined, number, ir.IntType(32)(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES))


def multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    # fmuladd becomes one fused instruction where the processor has it, and a product and a sum elsewhere.
    name = f"llvm.fmuladd.v{LANES}f32"
    function = builder.module.globals.get(name)
    if function is None:
        function = ir.Function(builder.module, ir.FunctionType(VECTOR, [VECTOR] * 3), name)
    return builder.call(function, [a, b, c])


def exchanged(builder: Any, rows: list[Any]) -> list[Any]:
    """Emit the exchange of rows and columns of LANES vectors."""
    step = LANES // 2
    while step:
        # Exchange the off-diagonal blocks of step x step; then do the same inside every block.
        exchanged = list(rows)
        low = [k if not k & step else LANES + k - step for k in range(LANES)]
        high = [k + step if not k & step else LANES + k for k in range(LANES)]
        for r in (r for r in range(LANES) if not r & step):
            for target, order in ((r, low), (r + step, high)):
                mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), order)
                exchanged[target] = builder.shuffle_vector(rows[r], rows[r + step], mask)
        rows = exchanged
        step //= 2
    return rows
