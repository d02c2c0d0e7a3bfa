"""One 2 x 2 window in registers: the two steps of max-pooling that a compiler does not turn into vectors by itself."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from digitlab.engine.cpu.vectors import I64, LANES, VECTOR, pointer_to, read_vector, vector_code, write_vector

__all__ = ["NOTHING", "give_to_winner", "store_largest"]

#: The winner's number where ReLU left nothing above zero.
NOTHING = 255

_BYTES = ir.VectorType(ir.IntType(8), LANES)
_ZERO = ir.Constant(VECTOR, None)


def _bytes(value: int) -> Any:
    return ir.Constant(_BYTES, [value] * LANES)


@vector_code
def store_largest(typing_context: Any, tile: Any, relu: Any, out: Any, to: Any, winners: Any, won: Any) -> Any:
    """Write the largest of a tile's quarters, one quarter a pixel of the window, and which it was, lane by lane."""
    n = tile.n // 4

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        use = builder.icmp_signed("!=", args[1], args[1].type(0))
        target = pointer_to(context, builder, out, args[2], args[3])
        bytes_ = pointer_to(context, builder, winners, args[4], args[5])
        for r in range(n):
            largest, winner = builder.extract_value(args[0], r), _bytes(0)
            for k in range(1, 4):
                value = builder.extract_value(args[0], k * n + r)
                above = builder.fcmp_ordered(">", value, largest)
                largest = builder.select(above, value, largest)
                winner = builder.select(above, _bytes(k), winner)
            # "Not above zero" is false for NaN, which therefore goes on and is noticed in the loss.
            nothing = builder.fcmp_ordered("<=", largest, _ZERO)
            largest = builder.select(use, builder.select(nothing, _ZERO, largest), largest)
            winner = builder.select(use, builder.select(nothing, _bytes(NOTHING), winner), winner)
            write_vector(builder, largest, target, r)
            place = builder.bitcast(builder.gep(bytes_, [I64(r * LANES)]), _BYTES.as_pointer())
            builder.store(winner, place).align = 1
        return context.get_dummy_value()

    i64 = types.int64
    return types.none(tile, i64, out, i64, winners, i64), generate


@vector_code
def give_to_winner(
    typing_context: Any,
    memory: Any,
    dy: Any,
    winners: Any,
    won: Any,
    first: Any,
    step: Any,
    row: Any,
    sums: Any,
    at: Any,
) -> Any:
    """Write the gradient at ``memory[dy]`` to the winner of four pixels, zero to the others; add it to ``sums[at]``.

    The pixels stand at ``first``, ``first + step``, ``first + row`` and ``first + row + step``.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        gradient = read_vector(builder, pointer_to(context, builder, memory, args[0], args[1]))
        source = pointer_to(context, builder, winners, args[2], args[3])
        winner = builder.load(builder.bitcast(source, _BYTES.as_pointer()))
        winner.align = 1
        second_row = builder.add(args[4], args[6])
        pixels = (args[4], builder.add(args[4], args[5]), second_row, builder.add(second_row, args[5]))
        for k, pixel in enumerate(pixels):
            own = builder.select(builder.icmp_unsigned("==", winner, _bytes(k)), gradient, _ZERO)
            write_vector(builder, own, pointer_to(context, builder, memory, args[0], pixel))
        given = builder.select(builder.icmp_unsigned("!=", winner, _bytes(NOTHING)), gradient, _ZERO)
        target = pointer_to(context, builder, sums, args[7], args[8])
        write_vector(builder, builder.fadd(read_vector(builder, target), given), target)
        return context.get_dummy_value()

    i64 = types.int64
    return types.none(memory, i64, winners, i64, i64, i64, i64, sums, i64), generate
