"""Features near a simplex ETF, as the metric tests use them."""

import numpy as np
import torch


def noisy_etf(n=6, *, K=4, d=7, noise=0.2, noise_W=0.1, seed=0):
    """W, H (columns, classes in blocks), y: an ETF in a random position plus Gaussian noise."""
    Q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((d, K)))
    frame = np.sqrt(K / (K - 1)) * Q @ (np.eye(K) - 1 / K)
    y = np.repeat(np.arange(K), n)
    rng = np.random.default_rng(seed + 1)
    H = frame[:, y] + noise * rng.standard_normal((d, len(y)))
    W = 2 * frame.T + noise_W * rng.standard_normal((K, d))
    return torch.tensor(W), torch.tensor(H), torch.tensor(y)


def rotation(d, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(d, d, dtype=torch.float64, generator=generator))[0]


def gaussian(*shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)
