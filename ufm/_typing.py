"""Array aliases and the one convention of the package.

=============  ===============================================================================
``K, d, N``    classes, feature dimension, samples
``n``          class sizes ``(K,)``; ``pi_k`` is class k's share of the loss, ``sum pi = 1``
``W``          classifier rows ``(*b, K, d)``, as ``nn.Linear(d, K).weight``
``H``          features as columns ``(*b, d, M)``, M = N samples or M = K class means
``b``          bias ``(*b, K)``; zero where the model has none
``Z``          logits ``W H (+ b)``, ``(*b, K, M)``, one column a sample or class
``G``          gradient of the risk with respect to ``Z``
``tau``        nuclear-norm radius ``K sqrt(E_W E_H)``; ``radius`` in code
``Q``          column-stochastic matrix (softmax of the columns of ``Z``)
=============  ===============================================================================

Batch axes lead; everything is float64 unless the caller's tensors say otherwise.
"""

from __future__ import annotations

from torch import Tensor

from ufm._shapes import Bool, Float, Int


__all__ = ["Bool", "Float", "Int", "Tensor"]
