"""Solutions: from anybody's arrays, indexing, files, bad input."""

import json
import os

import numpy as np
import pytest
import torch
from collapsed import gaussian
from safetensors.torch import save_file
from tolerances import EXACT

import ufm
from ufm import Problem, Solution, SolveError, Status
from ufm.geometry import etf
from ufm.objective import Objective, Point
from ufm.solution import Trace


PROBLEM = Problem(K=3, d=4, n=(3, 2, 1), bias=ufm.FreeBias())


def batch_of(B=3, M=6):
    return Solution.from_arrays(
        PROBLEM, gaussian(B, 3, 4, seed=1), gaussian(B, 4, M, seed=2), gaussian(B, 3, seed=3)
    )


class TestFromArrays:
    @pytest.mark.parametrize("M", [3, 6])
    def test_value_and_gradient_are_recomputed(self, M):
        sol = batch_of(M=M)
        objective = Objective.stack([PROBLEM] * 3, M)
        value, gradient = objective.value_and_grad(sol.point)
        norm = sum(t.flatten(1).square().sum(-1) for t in gradient) ** 0.5
        torch.testing.assert_close(sol.value, value, rtol=EXACT, atol=0)
        torch.testing.assert_close(sol.grad_norm, norm, rtol=EXACT, atol=0)
        assert sol.status == (Status.GIVEN,) * 3
        assert not sol.converged.any()
        torch.testing.assert_close(sol.objective().value(sol.point), value, rtol=0, atol=0)

    def test_a_single_point_has_no_batch_axis(self):
        sol = Solution.from_arrays(PROBLEM, np.eye(3, 4), np.ones((4, 3)).tolist())
        assert sol.batch_shape == ()
        assert sol.status is Status.GIVEN
        assert len(sol) == 1
        assert sol.W.dtype == sol.H.dtype == torch.float64
        assert sol.b.tolist() == [0, 0, 0]

    def test_copies_are_made(self):
        W, H = np.eye(3, 4), torch.ones(4, 3, dtype=torch.float64)
        sol = Solution.from_arrays(PROBLEM, W, H)
        W[:], H[:] = 7, 7
        assert sol.W.tolist() == np.eye(3, 4).tolist()
        assert sol.H.max() == 1

    def test_single_precision_and_gradients_are_left_behind(self):
        W = torch.eye(3, 4, requires_grad=True)
        sol = Solution.from_arrays(PROBLEM, W, np.ones((4, 3), dtype=np.float32))
        assert not sol.W.requires_grad
        assert sol.value.dtype == torch.float64

    def test_a_point_of_no_bias_may_say_so(self):
        problem = Problem(K=3, d=4, n=(1, 1, 1))
        assert not Solution.from_arrays(problem, np.eye(3, 4), np.eye(4, 3), [0, 0, 0]).b.any()

    @pytest.mark.parametrize(
        ("W", "H", "b", "message"),
        [
            (np.eye(4), np.eye(4, 3), None, r"W must have shape \(K, d\) = \(3, 4\), got \(4, 4\)"),
            (np.ones(3), np.eye(4, 3), None, r"W must have shape \(K, d\) = \(3, 4\), got \(3,\)"),
            (np.eye(3, 4), np.eye(3), None, r"H must have shape \(d, M\) = .*, got \(3, 3\)"),
            (np.eye(3, 4), np.ones((2, 4, 3)), None, "H must have shape"),
            (np.ones((2, 3, 4)), np.ones((3, 4, 3)), None, "H must have shape"),
            (np.eye(3, 4), np.ones((4, 5)), None, r"H must have K=3 columns .* N=6 .*, got 5"),
            (np.eye(3, 4), np.eye(4, 3), [1, 2], r"b must have shape \(K,\) = \(3,\), got \(2,\)"),
            (np.full((3, 4), np.nan), np.eye(4, 3), None, "W must be finite, got NaN or infinity"),
            (np.eye(3, 4), np.full((4, 3), np.inf), None, "H must be finite, got NaN or infinity"),
            (np.eye(3, 4), np.eye(4, 3), [0, 0, np.nan], "b must be finite, got NaN or infinity"),
            (None, np.eye(4, 3), None, "W must be an array of numbers, got object entries"),
            ("abc", np.eye(4, 3), None, "W must be an array of numbers, got <U3 entries"),
            ([[1], [1, 2]], np.eye(4, 3), None, "W must be an array of numbers, got a ragged one"),
            (1j * np.eye(3, 4), np.eye(4, 3), None, "W must be an array of real numbers"),
        ],
    )
    def test_bad_arrays(self, W, H, b, message):
        with pytest.raises(ValueError, match=message) as error:
            Solution.from_arrays(PROBLEM, W, H, b)
        assert "\n" not in str(error.value)

    def test_a_bias_needs_a_model_with_one(self):
        problem = Problem(K=3, d=4, n=(1, 1, 1))
        with pytest.raises(ValueError, match="b must be absent or zero for a problem with NoBias"):
            Solution.from_arrays(problem, np.eye(3, 4), np.eye(4, 3), [0, 0, 1])


class TestBatch:
    def test_indexing_drops_the_axis_of_everything(self):
        batch = batch_of()
        trace = Trace(torch.arange(2.0), {"value": gaussian(3, 2, seed=4)})
        batch = Solution(
            **{**vars(batch), "seeds": (5, 6, 7), "messages": ("a", "b", "c"), "trace": trace,
               "dual": gaussian(3, 3, 3, seed=5)}
        )  # fmt: skip
        for i in (0, 1, 2, -1, -3):
            one = batch[i]
            assert one.batch_shape == ()
            assert one.seeds == (batch.seeds[i],)
            assert one.messages == (batch.messages[i],)
            torch.testing.assert_close(one.W, batch.W[i], rtol=0, atol=0)
            torch.testing.assert_close(one.Z, batch.Z[i], rtol=0, atol=0)
            torch.testing.assert_close(one.dual, batch.dual[i], rtol=0, atol=0)
            torch.testing.assert_close(one.trace.rows["value"], trace.rows["value"][i])
            assert one.value == batch.value[i]

    def test_iteration_ends(self):
        batch = batch_of()
        assert [float(one.value) for one in batch] == batch.value.tolist()

    @pytest.mark.parametrize("index", [3, -4])
    def test_no_such_instance(self, index):
        with pytest.raises(IndexError, match=f"index must be within a batch of 3, got {index}"):
            batch_of()[index]

    def test_a_single_instance_cannot_be_indexed(self):
        with pytest.raises(IndexError):
            batch_of()[0][0]

    def test_one_problem_or_many(self):
        batch = batch_of()
        assert batch.problem is PROBLEM
        other = Problem(K=3, d=4, n=(1, 1, 1))
        mixed = Solution(**{**vars(batch), "problems": (PROBLEM, other, PROBLEM)})
        with pytest.raises(ValueError, match="problem is defined for one problem only, got 2"):
            _ = mixed.problem
        assert mixed[1].problem == other

    def test_logits_labels_and_geometry(self):
        batch = batch_of()
        assert batch.y.tolist() == [0, 0, 0, 1, 1, 2]
        expected = batch.W @ batch.H + batch.b.unsqueeze(-1)
        torch.testing.assert_close(batch.Z, expected, rtol=0, atol=0)
        geometry = ufm.Geometry.of(batch.W, batch.H, batch.y)
        assert ufm.distance(batch.geometry, geometry).max() == 0

    def test_geometry_compares_across_dimensions(self):
        narrow = Solution.from_arrays(Problem(K=3, d=2, n=(1, 1, 1)), etf(3, 2), etf(3, 2).mT)
        wide = Solution.from_arrays(PROBLEM, etf(3, 4), etf(3, 4).mT)
        assert ufm.distance(narrow.geometry, wide.geometry) < EXACT


class TestFiles:
    def full(self):
        return Solution(
            **{
                **vars(batch_of()),
                "method": ufm.LBFGS(memory=7),
                "seeds": (1, 2, 3),
                "messages": ("", "optimal", "inaccurate"),
                "dual": gaussian(3, 3, 3, seed=5),
                "code": torch.tensor([s.code for s in (Status.CONVERGED, *[Status.STALLED] * 2)]),
                "seconds": 1.25,
            }
        )

    @pytest.mark.parametrize("single", [False, True])
    def test_round_trip(self, tmp_path, single):
        sol = self.full()[1] if single else self.full()
        sol.save(tmp_path / "sol.safetensors")
        again = Solution.load(tmp_path / "sol.safetensors")
        for name, value in vars(sol).items():
            loaded = getattr(again, name)
            if isinstance(value, Point):
                for s, t in zip(value, loaded, strict=True):
                    assert torch.equal(s, t)
            elif isinstance(value, torch.Tensor):
                assert torch.equal(value, loaded), name
            else:
                assert value == loaded, name
        assert again.status == sol.status
        assert os.listdir(tmp_path) == ["sol.safetensors"]

    def test_a_given_point_has_no_method(self, tmp_path):
        batch_of().save(tmp_path / "a")
        assert Solution.load(tmp_path / "a").method is None

    def test_overwriting_is_all_or_nothing(self, tmp_path, monkeypatch):
        path = tmp_path / "sol.safetensors"
        self.full().save(path)
        before = path.read_bytes()

        def half_written(tensors, partial, metadata):
            partial.write_bytes(b"half")
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("ufm.solution.save_file", half_written)
        with pytest.raises(OSError, match="No space left on device"):
            batch_of().save(path)
        assert path.read_bytes() == before
        assert os.listdir(tmp_path) == ["sol.safetensors"]

    def test_a_folder_that_is_not_there(self, tmp_path):
        with pytest.raises(OSError, match=r"path must be writable, got .*none"):
            batch_of().save(tmp_path / "none" / "sol")

    def test_foreign_files(self, tmp_path):
        message = "path must name a file written by Solution.save, got"
        (tmp_path / "junk").write_bytes(b"not a tensor in sight")
        save_file({"W": torch.eye(2)}, tmp_path / "other")
        for name in ("junk", "other"):
            with pytest.raises(ValueError, match=message):
                Solution.load(tmp_path / name)
        with pytest.raises(FileNotFoundError):
            Solution.load(tmp_path / "missing")

    def test_truncated_files(self, tmp_path):
        self.full().save(tmp_path / "a")
        data = (tmp_path / "a").read_bytes()
        (tmp_path / "b").write_bytes(data[: len(data) // 2])
        with pytest.raises(ValueError, match=r"path must name a file written by Solution.save"):
            Solution.load(tmp_path / "b")

    def test_metadata_is_json(self, tmp_path):
        from safetensors import safe_open

        self.full().save(tmp_path / "a")
        with safe_open(tmp_path / "a", "pt") as file:
            metadata = file.metadata()
        assert json.loads(metadata["problems"])[0]["type"] == "Problem"


def test_a_failed_solve_keeps_what_it_computed():
    sol = batch_of()
    error = SolveError("2 of 3 instances did not converge", sol)
    assert error.solution is sol
    assert isinstance(error, RuntimeError)
    assert str(error).startswith("2 of 3")


def test_every_status_has_advice():
    assert len({status.value for status in Status}) == len(Status)
    assert [status.code for status in Status] == list(range(len(Status)))
