"""The alternatives, written as a careful user would write them.

Each takes problems with cross-entropy and average budgets and returns the logits it found.
"""

from __future__ import annotations

import numpy as np
import scipy.optimize
import torch

from ufm import Problem


def scipy_lbfgsb(problem: Problem, gtol: float = 1e-7) -> np.ndarray:
    """SciPy's L-BFGS-B on Z = tau A B / (|A||B|) with analytic NumPy gradients."""
    K, d, tau, pi = problem.K, problem.d, problem.radius, np.array(problem.pi)
    eye = np.eye(K)

    def value_and_grad(x: np.ndarray) -> tuple[float, np.ndarray]:
        A, B = x[: K * d].reshape(K, d), x[K * d :].reshape(d, K)
        norm_A, norm_B = np.linalg.norm(A), np.linalg.norm(B)
        scale = tau / (norm_A * norm_B)
        product = A @ B
        Z = scale * product
        shifted = Z - Z.max(0)
        exp = np.exp(shifted)
        total = exp.sum(0)
        value = pi @ (np.log(total) - np.diagonal(shifted))
        G = (exp / total - eye) * pi
        inner = scale * (G * product).sum()
        grad_A = scale * G @ B.T - inner * A / norm_A**2
        grad_B = scale * A.T @ G - inner * B / norm_B**2
        return float(value), np.concatenate([grad_A.ravel(), grad_B.ravel()])

    x = np.random.default_rng(0).standard_normal(2 * K * d)
    options = {"maxiter": 2000, "maxfun": 10_000, "ftol": 0.0, "gtol": gtol, "maxcor": 12}
    x = scipy.optimize.minimize(value_and_grad, x, jac=True, method="L-BFGS-B", options=options).x
    A, B = x[: K * d].reshape(K, d), x[K * d :].reshape(d, K)
    return tau * (A @ B) / (np.linalg.norm(A) * np.linalg.norm(B))


def torch_lbfgs(problem: Problem) -> np.ndarray:
    """`torch.optim.LBFGS` with strong Wolfe search and autograd, as in the field's scripts."""
    K, d, tau = problem.K, problem.d, problem.radius
    pi = torch.tensor(problem.pi, dtype=torch.float64)
    labels = torch.arange(K)
    generator = torch.Generator().manual_seed(0)
    A = torch.randn(K, d, dtype=torch.float64, generator=generator).requires_grad_()
    B = torch.randn(d, K, dtype=torch.float64, generator=generator).requires_grad_()
    optimiser = torch.optim.LBFGS(
        [A, B], max_iter=500, tolerance_grad=1e-7, tolerance_change=0.0, history_size=12,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def logits() -> torch.Tensor:
        return tau * (A @ B) / (A.norm() * B.norm())

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(logits().T, labels, reduction="none") @ pi
        loss.backward()
        return loss

    optimiser.step(closure)
    return logits().detach().numpy()


def cvxpy_sdp(problem: Problem, solver: str | None = None) -> tuple[np.ndarray, str, float]:
    """The 2K x 2K semidefinite programme of Fang et al.; cvxpy's own choice of solver by default.

    Returns the logits, the solver's status and its reported objective.
    """
    import cvxpy as cp

    K = problem.K
    E_W, E_H = problem.reg.E_W, problem.reg.E_H  # pyright: ignore[reportAttributeAccessIssue]
    X = cp.Variable((2 * K, 2 * K), PSD=True)
    risk = 0
    for k in range(K):
        row = X[k, K:]
        risk += problem.pi[k] * (cp.log_sum_exp(row) - row[k])
    budgets = [cp.trace(X[:K, :K]) <= K * E_H, cp.trace(X[K:, K:]) <= K * E_W]
    programme = cp.Problem(cp.Minimize(risk), budgets)
    programme.solve(solver=solver)
    return np.asarray(X.value)[:K, K:].T, str(programme.status), np.asarray(programme.value).item()


def cvxpy_nuclear(problem: Problem, solver: str = "CLARABEL") -> np.ndarray:
    """The reduced form: K x K logits within a ball of the nuclear norm, by cvxpy.

    A point slightly outside the ball is scaled into it, as a user has to.
    """
    import cvxpy as cp

    Z = cp.Variable((problem.K, problem.K))
    risk = sum(share * (cp.log_sum_exp(Z[:, k]) - Z[k, k]) for k, share in enumerate(problem.pi))
    programme = cp.Problem(cp.Minimize(risk), [cp.normNuc(Z) <= problem.radius])
    programme.solve(solver=solver)
    found = np.asarray(Z.value)
    return found * min(1.0, problem.radius / np.linalg.norm(found, "nuc"))
