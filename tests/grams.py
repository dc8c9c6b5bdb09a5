"""Gram matrices of frames, for the tests."""

from __future__ import annotations

import torch


def gram_error(W: torch.Tensor, S: torch.Tensor) -> float:
    return float((W @ W.mT - S).abs().max())


def spectrum(S: torch.Tensor) -> torch.Tensor:
    return torch.linalg.eigvalsh(S)
