"""Product of small matrices in compiled code, two rows by four columns at a time.

LLVM does not vectorise loops of about ten steps, which is all that a matrix of K = 10 classes has;
here the vectors are written down. Any target runs it: LLVM splits them where it has narrower ones.
"""

from __future__ import annotations

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
WIDTH = 4
# One rounding for a multiply and an add where the machine can; nothing else may be reordered.
FUSED = ("contract",)
DOUBLE = ir.DoubleType()
VECTOR = ir.VectorType(DOUBLE, WIDTH)


@intrinsic
def _blocks(typingctx, C, A, B, rows, inner, columns, row_step, inner_step):
    signature = types.void(C, A, B, *(types.intp,) * 5)

    def generate(context, builder, signature, args):
        arrays = [
            context.make_array(kind)(context, builder, value)
            for kind, value in zip(signature.args[:3], args[:3], strict=True)
        ]
        C, A, B = (array.data for array in arrays)
        _emit(builder, (C, A, B), args[3:])

    return signature, generate


def _emit(builder, arrays, sizes) -> None:
    C, A, B = arrays
    rows, inner, columns, row_step, inner_step = sizes
    index = rows.type
    one, two, width = (ir.Constant(index, n) for n in (1, 2, WIDTH))
    zero = ir.Constant(VECTOR, [0.0] * WIDTH)
    sums = [cgutils.alloca_once(builder, VECTOR) for _ in range(2)]

    def vector_at(base, offset):
        return builder.bitcast(builder.gep(base, [offset]), VECTOR.as_pointer())

    def blocks(size, step):
        # Number of blocks, and where one starts: the last may overlap the one before.
        count = builder.udiv(builder.add(size, builder.sub(step, one)), step)
        last = builder.sub(size, step)

        def start(block):
            first = builder.mul(block, step)
            return builder.select(builder.icmp_signed("<", first, last), first, last)

        return count, start

    row_blocks, row_start = blocks(rows, two)
    column_blocks, column_start = blocks(columns, width)
    with (
        cgutils.for_range(builder, row_blocks) as row,
        cgutils.for_range(builder, column_blocks) as column,
    ):
        i, j = row_start(row.index), column_start(column.index)
        lines = [i, builder.add(i, one)]
        for total in sums:
            builder.store(zero, total)
        with cgutils.for_range(builder, inner) as loop:
            right = builder.load(
                vector_at(B, builder.add(builder.mul(loop.index, columns), j)), align=8
            )
            for line, total in zip(lines, sums, strict=True):
                where = builder.add(
                    builder.mul(line, row_step), builder.mul(loop.index, inner_step)
                )
                left = _splat(builder, builder.load(builder.gep(A, [where])))
                term = builder.fmul(left, right, flags=FUSED)
                builder.store(builder.fadd(builder.load(total), term, flags=FUSED), total)
        for line, total in zip(lines, sums, strict=True):
            target = vector_at(C, builder.add(builder.mul(line, columns), j))
            builder.store(builder.load(total), target, align=8)


def _splat(builder, scalar):
    lane = ir.Constant(ir.IntType(32), 0)
    vector = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), scalar, lane)
    mask = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
    return builder.shuffle_vector(vector, vector, mask)


@njit(**INNER)
def product(C, A, B, rows, inner, columns, row_step, inner_step):
    """``C[i, j] = sum_r A[i row_step + r inner_step] B[r, j]`` for C and B contiguous by rows.

    The sum runs over r in order, one fused multiply-add each: an entry's value does not depend on
    the block it is in.

    Args:
        C: At least ``rows * columns`` numbers.
        A: Flat array.
        B: At least ``inner * columns`` numbers.
        rows: At least 2.
        inner: Terms of each sum.
        columns: At least 1.
        row_step: Distance of A's rows.
        inner_step: Distance of A's entries in a row.
    """
    if columns >= WIDTH:
        # The compiler gives an intrinsic its first argument itself.
        _blocks(C, A, B, rows, inner, columns, row_step, inner_step)  # pyright: ignore
        return
    for i in range(rows):
        for j in range(columns):
            total = 0.0
            for r in range(inner):
                total += A[i * row_step + r * inner_step] * B[r * columns + j]
            C[i * columns + j] = total
