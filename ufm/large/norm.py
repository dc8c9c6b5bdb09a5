r"""A proved upper bound of an operator norm, where a full decomposition costs too much.

Lanczos gives a lower estimate, which alone would make an invalid bound. It is raised a little and
then proved: :math:`t^2 I - Y Y^\top` has a Cholesky factor only if :math:`\|Y\| \le t`. That is a
tenth of the work of an eigendecomposition, and Y is only ever seen in blocks of columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import scipy.linalg
import torch

from ufm._typing import Float, Tensor


# Below this size all eigenvalues are computed.
DENSE = 2048
# First rise of the estimate of the squared norm, in units of its rounding K eps, and its growth.
FIRST_RISE, GROWTH, TRIALS = 8.0, 16.0, 12
LANCZOS = 40


def proved_norm(K: int, blocks: Callable[[], Iterable[Float[Tensor, "K _"]]]) -> float:
    """Upper bound of the operator norm of a K x M matrix, up to rounding of its Gram matrix.

    Args:
        K: Rows.
        blocks: Makes the columns, block by block.

    Returns:
        The bound; infinite if the matrix is not finite.
    """
    gram = torch.zeros(K, K, dtype=torch.float64)
    for Y in blocks():
        gram.addmm_(Y, Y.mT)
    scale = float(gram.diagonal().amax())
    if not torch.isfinite(gram.diagonal()).all():
        return float("inf")
    if K <= DENSE:
        return float(torch.linalg.eigvalsh(gram)[-1].clamp(min=0).sqrt())
    low = max(lanczos(gram), scale)
    rise = FIRST_RISE * K * torch.finfo(torch.float64).eps
    for _ in range(TRIALS):
        if is_below(gram, low * (1 + rise)):
            return (low * (1 + rise)) ** 0.5
        rise *= GROWTH
    # The Frobenius norm needs no proof.
    return float(gram.diagonal().sum().sqrt())


def lanczos(A: Float[Tensor, "K K"], steps: int = LANCZOS) -> float:
    """Lower estimate of the largest eigenvalue of a symmetric matrix.

    Args:
        A: The matrix, positive semidefinite.
        steps: Products with it; all directions are kept orthogonal.

    Returns:
        The largest Ritz value.
    """
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(len(A), generator=generator, dtype=A.dtype)
    basis, diagonal, beside = [q / q.norm()], [], []
    for _ in range(min(steps, len(A))):
        r = A @ basis[-1]
        diagonal.append(float(basis[-1] @ r))
        Q = torch.stack(basis)
        for _ in range(2):
            r = r - Q.mT @ (Q @ r)
        size = float(r.norm())
        if size <= 1e-14 * max(diagonal):
            break
        beside.append(size)
        basis.append(r / size)
    n = len(diagonal)
    values = scipy.linalg.eigvalsh_tridiagonal(diagonal, beside[: n - 1])
    return float(values[-1])


def is_below(A: Float[Tensor, "K K"], bound: float) -> bool:
    """Whether all eigenvalues of a symmetric matrix are below a bound: a Cholesky factor exists.

    Args:
        A: The matrix.
        bound: The bound.

    Returns:
        True only if proved (up to the rounding of the factorisation).
    """
    shifted = A.neg()
    shifted.diagonal().add_(bound)
    try:
        # Its transpose is in Fortran order, so that nothing is copied.
        scipy.linalg.cholesky(shifted.numpy().T, lower=True, overwrite_a=True, check_finite=False)
    except scipy.linalg.LinAlgError:
        return False
    return True
