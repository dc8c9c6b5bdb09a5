"""Frames, Gram triples and the distances between them."""

import hypothesis.strategies as st
import pytest
import torch
from collapsed import gaussian, rotation
from hypothesis import given
from tolerances import EXACT

import ufm
from ufm.geometry import (
    ExplicitFrame,
    Geometry,
    OrthogonalFrame,
    SimplexETF,
    align,
    cosines,
    distance,
    etf,
    frame,
    helmert,
    norms,
    orthogonal,
    procrustes_distance,
)


def eye(K):
    return torch.eye(K, dtype=torch.float64)


def assert_close(a, b, tol=EXACT):
    torch.testing.assert_close(a, b, rtol=tol, atol=tol)


class TestFrames:
    @pytest.mark.parametrize(("K", "d"), [(2, 1), (2, 5), (3, 2), (10, 9), (10, 30), (100, 99)])
    def test_etf_gram(self, K, d):
        M = etf(K, d)
        assert M.shape == (K, d)
        assert M.dtype == torch.float64
        assert_close(M @ M.mT, K / (K - 1) * (eye(K) - 1 / K))
        # Tight: equal singular values in K - 1 directions; and at the Welch bound.
        s = torch.linalg.svdvals(M)
        assert_close(s[: K - 1], torch.full((K - 1,), (K / (K - 1)) ** 0.5, dtype=torch.float64))
        coherence = (M @ M.mT - eye(K)).abs().max().item()
        welch = ((K - (K - 1)) / ((K - 1) * (K - 1))) ** 0.5
        assert coherence == pytest.approx(welch, rel=EXACT)

    @pytest.mark.parametrize("K", [2, 3, 17])
    def test_helmert_spans_the_zero_sum_subspace(self, K):
        B = helmert(K)
        assert_close(B.mT @ B, eye(K - 1))
        assert_close(B @ B.mT, eye(K) - 1 / K)

    def test_squared_row_norms(self):
        assert_close(
            frame(SimplexETF(E_W=2.5), 4, 3).square().sum(-1), torch.full((4,), 2.5).double()
        )
        assert_close(frame(OrthogonalFrame(E_W=2.5), 4, 6) @ orthogonal(4, 6).mT, 2.5**0.5 * eye(4))
        rows = ((1.0, 2.0), (3.0, 4.0), (5.0, 6.0))
        assert frame(ExplicitFrame(rows), 3, 2).tolist() == [list(row) for row in rows]

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: etf(4, 2), "d must be at least K-1=3 for a simplex ETF, got 2"),
            (lambda: orthogonal(4, 3), "d must be at least K=4 for an orthogonal frame, got 3"),
            (lambda: etf(1, 2), "K must be an integer of at least 2, got 1"),
            (lambda: etf(3, 0), "d must be an integer of at least 1, got 0"),
            (lambda: helmert(1), "K must be an integer of at least 2, got 1"),
            (lambda: frame(ExplicitFrame(((1.0,),)), 2, 1), "rows must be K x d = 2 x 1, got 1 x"),
        ],
    )
    def test_frames_that_do_not_exist(self, make, message):
        with pytest.raises(ValueError, match=message):
            make()

    def test_unknown_frames(self):
        class Other(SimplexETF.__mro__[1]):
            def check(self, K, d):
                pass

        with pytest.raises(TypeError, match="spec must be a known frame, got Other"):
            frame(Other(), 3, 3)


def test_align_finds_the_rotation():
    R = rotation(5, 3)
    W = gaussian(4, 5, seed=1)
    assert_close(W @ R @ align(W @ R, W), W)
    Q = align(gaussian(6, 4, 5, seed=2), W)
    assert_close(Q @ Q.mT, eye(5).expand(6, 5, 5))
    # Any other rotation is farther.
    X = gaussian(4, 5, seed=4)
    best = (X @ align(X, W) - W).norm()
    assert all((X @ rotation(5, seed) - W).norm() > best for seed in range(50))


class TestGramTriple:
    def test_of_samples(self):
        W, H, y = gaussian(3, 4, seed=1), gaussian(4, 6, seed=2), torch.tensor([0, 1, 1, 2, 2, 2])
        g = Geometry.of(W, H, y)
        M = torch.stack([H[:, y == k].mean(1) for k in range(3)], 1)
        assert_close(g.gram_W, W @ W.mT)
        assert_close(g.gram_H, M.mT @ M)
        assert_close(g.Z, W @ M)
        variance = sum((H[:, y == k] - M[:, [k]]).square().sum(0).mean() for k in range(3))
        total = sum(H[:, y == k].square().sum(0).mean() for k in range(3))
        assert_close(g.within, variance / total)
        assert_close(g.joint, torch.cat([W, M.mT]) @ torch.cat([W, M.mT]).mT)

    def test_class_means_have_nothing_within(self):
        g = Geometry.of(gaussian(3, 4, seed=1), gaussian(4, 3, seed=2), torch.arange(3))
        assert g.within == 0
        zero = Geometry.of(torch.zeros(3, 4), torch.zeros(4, 6), torch.arange(6) % 3)
        assert zero.within == 0

    def test_batches(self):
        W, H, y = gaussian(2, 3, 4, seed=1), gaussian(2, 4, 6, seed=2), torch.arange(6) % 3
        batch = Geometry.of(W, H, y)
        single = Geometry.of(W[1], H[1], y)
        for name, value in vars(batch[1]).items():
            assert_close(value, getattr(single, name))

    @pytest.mark.parametrize(
        ("y", "message"),
        [
            ([0, 1, 1, 0], "y must contain every class, class 2 has none"),
            ([0, 1, 2, 3], r"y must lie in 0..K-1 = 0..2, got 0..3"),
            ([0, 1, 2, -1], r"y must lie in 0..K-1 = 0..2, got -1..2"),
            ([0, 1, 2], "y must label all 4 columns of H, got 3 labels"),
        ],
    )
    def test_bad_labels(self, y, message):
        # Past the shape annotations, which only the tests check.
        of = Geometry.of.__func__
        of = getattr(of, "__wrapped__", of)
        with pytest.raises(ValueError, match=message):
            of(Geometry, gaussian(3, 2, seed=1), gaussian(2, 4, seed=2), torch.tensor(y))

    def test_cosines_of_vanished_vectors_are_nan(self):
        # At 1e-9 of the largest only the solver's rounding is left: no angle, not a random one.
        V = torch.tensor([[1.0, 0], [1, 1], [1e-9, 1e-9]], dtype=torch.float64)
        gram = V @ V.mT
        cos = cosines(gram)
        assert cos[0, 1].item() == pytest.approx(0.5**0.5, rel=EXACT)
        assert cos[2].isnan().all()
        assert cos[:, 2].isnan().all()
        assert_close(norms(gram), V.norm(dim=1))
        assert cosines(torch.zeros(2, 2)).isnan().all()

    def test_small_but_equal_vectors_have_angles(self):
        assert_close(cosines(1e-30 * eye(3)), eye(3))


def random_geometry(seed, d=4, K=3, scale=1.0):
    W, H = scale * gaussian(K, d, seed=seed), gaussian(d, 2 * K, seed=seed + 1000)
    return W, H, torch.arange(2 * K) % K


seeds = st.integers(0, 500)


class TestDistances:
    @given(seed=seeds, turn=seeds)
    def test_rotations_are_at_distance_zero(self, seed, turn):
        W, H, y = random_geometry(seed)
        R = rotation(4, turn)
        a, b = Geometry.of(W, H, y), Geometry.of(W @ R, R.mT @ H, y)
        assert distance(a, b) < EXACT
        assert procrustes_distance(a, b) < 1e-6  # a square root of rounding

    @given(seed=seeds, extra=st.integers(1, 6))
    def test_dimensions_do_not_matter(self, seed, extra):
        W, H, y = random_geometry(seed)
        wide = torch.cat([W, torch.zeros(3, extra).double()], 1)
        tall = torch.cat([H, torch.zeros(extra, 6).double()])
        R = rotation(4 + extra, seed)
        a, b = Geometry.of(W, H, y), Geometry.of(wide @ R, R.mT @ tall, y)
        assert distance(a, b) < EXACT
        assert distance(a, Geometry.of(*random_geometry(seed + 1, d=4 + extra))) > 1e-2

    @given(a=seeds, b=seeds)
    def test_metric_axioms(self, a, b):
        first, second, third = (Geometry.of(*random_geometry(s)) for s in (a, b, a + b + 1))
        for measure in (distance, procrustes_distance):
            assert_close(measure(first, second), measure(second, first), 1e-7)
            assert measure(first, second) >= 0
        direct = procrustes_distance(first, second)
        assert direct <= procrustes_distance(first, third) + procrustes_distance(third, second)

    @given(a=seeds, b=seeds)
    def test_procrustes_is_the_best_rotation_of_the_matrices(self, a, b):
        (W, H, y), (V, G, _) = random_geometry(a), random_geometry(b + 1)
        mean = torch.nn.functional.one_hot(y, 3).double() / 2
        X, Y = torch.cat([W, (H @ mean).mT]), torch.cat([V, (G @ mean).mT])
        U, _, Vh = torch.linalg.svd(X.mT @ Y)
        expected = (X @ U @ Vh - Y).norm()
        found = procrustes_distance(Geometry.of(W, H, y), Geometry.of(V, G, y))
        assert_close(found, expected, 1e-7)  # a square root of rounding

    def test_both_are_first_order_in_a_perturbation(self):
        W, H, y = random_geometry(1)
        dW = gaussian(3, 4, seed=9)
        at = {h: Geometry.of(W + h * dW, H, y) for h in (0, 1e-2, 1e-3, 1e-4)}
        for measure in (distance, procrustes_distance):
            slope = [float(measure(at[0], at[h])) / h for h in (1e-2, 1e-3, 1e-4)]
            assert slope == pytest.approx([slope[0]] * 3, rel=0.05)

    def test_reflections_are_rotations_too_but_relabelling_is_not(self):
        W, H = etf(4, 3) @ torch.diag(torch.tensor([1.0, 2, 3])).double(), etf(4, 3).mT
        y = torch.arange(4)
        a = Geometry.of(W, H, y)
        assert distance(a, Geometry.of(-W, -H, y)) < EXACT
        assert distance(a, Geometry.of(W[[3, 0, 1, 2]], H[:, [3, 0, 1, 2]], y)) > 1e-2

    def test_scatter_within_classes_counts(self):
        W, y = etf(3, 2), torch.arange(6) % 3
        H = etf(3, 2).mT[:, y]
        noise = torch.zeros(2, 6).double()
        noise[:, :3], noise[:, 3:] = 0.1, -0.1
        a, b = Geometry.of(W, H, y), Geometry.of(W, H + noise, y)
        assert_close(a.joint, b.joint)
        assert distance(a, b).item() == pytest.approx(b.within.item(), rel=EXACT)

    def test_distance_is_relative_and_scale_free(self):
        a, b = (Geometry.of(*random_geometry(s)) for s in (1, 2))
        scaled = [Geometry(1e-8 * g.gram_W, 1e-8 * g.gram_H, 1e-8 * g.Z, g.within) for g in (a, b)]
        assert_close(distance(*scaled), distance(a, b))
        zero = Geometry(0 * a.gram_W, 0 * a.gram_H, 0 * a.Z, 0 * a.within)
        assert distance(zero, zero) == 0
        assert distance(a, zero) >= 1

    def test_batches_broadcast_against_one(self):
        W, H = gaussian(5, 3, 4, seed=1), gaussian(5, 4, 6, seed=2)
        y = torch.arange(6) % 3
        many, one = Geometry.of(W, H, y), Geometry.of(W[2], H[2], y)
        for measure in (distance, procrustes_distance):
            found = measure(many, one)
            assert found.shape == (5,)
            assert found.argmin() == 2

    def test_different_numbers_of_classes_do_not_compare(self):
        a, b = (Geometry.of(etf(K, 4), etf(K, 4).mT, torch.arange(K)) for K in (3, 4))
        for measure in (distance, procrustes_distance):
            with pytest.raises(ValueError, match="geometries must have the same K, got 3 and 4"):
                measure(a, b)


def test_etf_and_orthogonal_frame_are_apart_until_centred():
    y = torch.arange(4)
    a = Geometry.of(etf(4, 4), etf(4, 4).mT, y)
    b = Geometry.of(orthogonal(4, 4), orthogonal(4, 4).mT, y)
    assert distance(a, b) > 0.3
    centred = orthogonal(4, 4) - orthogonal(4, 4).mean(0)
    scaled = (4 / 3) ** 0.5 * centred
    assert ufm.distance(a, Geometry.of(scaled, scaled.mT, y)) < EXACT


def test_matrices_are_no_geometries():
    unchecked = getattr(ufm.distance, "__wrapped__", ufm.distance)
    W = ufm.etf(3, 3)
    with pytest.raises(ValueError, match=r"sol\[0\]\.geometry, got a Tensor"):
        unchecked(W, W)
