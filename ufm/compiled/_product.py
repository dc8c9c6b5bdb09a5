"""Product of small matrices in compiled code, two rows by four columns at a time.

LLVM does not vectorise loops of about ten steps, which is all that a matrix of K = 10 classes has;
here the vectors are written down. Any target runs it: LLVM splits them where it has narrower ones.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic


# Inner functions only work on memory they are given: no reference counts, no Python wrappers, and
# 1/0 is infinity.
INNER = {
    "_nrt": False,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "error_model": "numpy",
}
# One rounding for a multiply and an add where the machine can; nothing else may be reordered.
FUSED = ("contract",)
WIDTH = 4


def _blocked(width: int) -> Any:
    def blocks(typingctx, C, A, B, rows, inner, columns, row_step, inner_step):
        signature = types.void(C, A, B, *(types.intp,) * 5)

        def generate(context, builder, signature, args):
            arrays = [
                context.make_array(kind)(context, builder, value).data
                for kind, value in zip(signature.args[:3], args[:3], strict=True)
            ]
            _emit(builder, arrays, args[3:], width)

        return signature, generate

    return intrinsic(blocks)


_wide, _narrow = _blocked(WIDTH), _blocked(1)


def _emit(builder, arrays, sizes, width: int) -> None:
    C, A, B = arrays
    rows, inner, columns, row_step, inner_step = sizes
    vector = ir.VectorType(ir.DoubleType(), width)
    one = ir.Constant(rows.type, 1)
    sums = [cgutils.alloca_once(builder, vector) for _ in range(2)]

    def vector_at(base, line, column):
        offset = builder.add(builder.mul(line, columns), column)
        return builder.bitcast(builder.gep(base, [offset]), vector.as_pointer())

    row_blocks, row_start = _blocks_of(builder, rows, ir.Constant(rows.type, 2))
    column_blocks, column_start = _blocks_of(builder, columns, ir.Constant(rows.type, width))
    with (
        cgutils.for_range(builder, row_blocks) as row,
        cgutils.for_range(builder, column_blocks) as column,
    ):
        i, j = row_start(row.index), column_start(column.index)
        lines = [i, builder.add(i, one)]
        for total in sums:
            builder.store(ir.Constant(vector, [0.0] * width), total)
        with cgutils.for_range(builder, inner) as loop:
            right = builder.load(vector_at(B, loop.index, j), align=8)
            for line, total in zip(lines, sums, strict=True):
                place = builder.add(
                    builder.mul(line, row_step), builder.mul(loop.index, inner_step)
                )
                left = _splat(builder, builder.load(builder.gep(A, [place])), vector)
                term = builder.fmul(left, right, flags=FUSED)
                builder.store(builder.fadd(builder.load(total), term, flags=FUSED), total)
        for line, total in zip(lines, sums, strict=True):
            builder.store(builder.load(total), vector_at(C, line, j), align=8)


def _blocks_of(builder, size, step):
    # Number of blocks, and where one starts: the last may overlap the one before.
    one = ir.Constant(size.type, 1)
    count = builder.udiv(builder.add(size, builder.sub(step, one)), step)
    last = builder.sub(size, step)

    def start(block):
        first = builder.mul(block, step)
        return builder.select(builder.icmp_signed("<", first, last), first, last)

    return count, start


def _splat(builder, scalar, vector):
    lane = ir.Constant(ir.IntType(32), 0)
    single = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, lane)
    mask = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    return builder.shuffle_vector(single, single, mask)


@njit(**INNER)
def product(C, A, B, rows, inner, columns, row_step, inner_step):
    """``C[i, j] = sum_r A[i row_step + r inner_step] B[r, j]`` for C and B contiguous by rows.

    An entry's value does not depend on the block it is in: its sum runs over r in order.

    Args:
        C: Array of at least ``rows * columns`` numbers, of any shape.
        A: Array.
        B: Array of at least ``inner * columns`` numbers.
        rows: At least 2.
        inner: Terms of each sum.
        columns: At least 1.
        row_step: Distance of A's rows in memory.
        inner_step: Distance of A's entries in a row.
    """
    if columns >= WIDTH:
        _wide(C, A, B, rows, inner, columns, row_step, inner_step)
    else:
        _narrow(C, A, B, rows, inner, columns, row_step, inner_step)
