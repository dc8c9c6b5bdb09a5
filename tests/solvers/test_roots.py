"""The vectorised bracketing root finder: known roots, poles, brackets without a root."""

import numpy as np
from scipy.optimize import brentq
from tolerances import EXACT

from ufm.solvers._roots import bracketed_roots, elementwise


def test_roots_of_many_equations_at_once_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    power, target = rng.uniform(0.3, 9, 500), 10 ** rng.uniform(-6, 6, 500)

    def f(x: np.ndarray, power: np.ndarray, target: np.ndarray) -> np.ndarray:
        return x**power * np.exp(x) - target

    low, high = np.zeros(500), np.full(500, 60.0)
    x = bracketed_roots(f, low, high, power, target)
    for i in range(0, 500, 25):
        expected = brentq(f, 0, 60, args=(power[i], target[i]), xtol=1e-300, rtol=1e-15)
        np.testing.assert_allclose(x[i], expected, rtol=EXACT)
    # The bracket may be given either way round, and an instance does not feel its neighbours.
    np.testing.assert_array_equal(
        bracketed_roots(f, low, high, power, target)[3:4],
        bracketed_roots(f, low[3:4], high[3:4], power[3:4], target[3:4]),
    )
    np.testing.assert_allclose(bracketed_roots(f, high, low, power, target), x, rtol=EXACT)


def test_roots_keep_their_relative_precision_and_survive_poles():
    scale = 10.0 ** np.arange(-50, 1, 5)

    def f(x: np.ndarray, scale: np.ndarray) -> np.ndarray:
        return np.log(x / scale)  # -inf at zero

    x = bracketed_roots(f, np.zeros_like(scale), np.full_like(scale, 3.0), scale)
    np.testing.assert_allclose(x, scale, rtol=EXACT)


def test_a_bracket_without_a_root_gives_its_better_end():
    def f(x: np.ndarray, shift: np.ndarray) -> np.ndarray:
        return x + shift

    shift = np.array([1.0, -9.0, 0.0])
    x = bracketed_roots(f, np.zeros(3), np.full(3, 2.0), shift)
    np.testing.assert_array_equal(x, [0.0, 2.0, 0.0])


def test_elementwise_restores_shapes_across_blocks():
    (total,) = elementwise(lambda a, b: (a + b,), np.arange(20_000).reshape(100, 200), 1.0)
    assert total.shape == (100, 200)
    assert total[99, 199] == 20_000
    assert elementwise(lambda a: (a,), 3.0)[0].shape == ()
    assert elementwise(lambda a: (a,), [])[0].shape == (0,)
