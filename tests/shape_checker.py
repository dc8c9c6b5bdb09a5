"""The checker that `conftest` puts on every function of the package: beartype, with 1 a float."""

from __future__ import annotations

from beartype import BeartypeConf, beartype


check = beartype(conf=BeartypeConf(is_pep484_tower=True))
