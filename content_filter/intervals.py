# SPDX-License-Identifier: Apache-2.0
"""How sure a share that was counted is: the score interval of E. B. Wilson (1927)."""

import math
from dataclasses import dataclass

_95_PERCENT = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Share:
    """`hits` of `total`, and between which shares the true one lies in 95 of 100 cases; all None where nothing was
    counted."""

    hits: int
    total: int

    def __post_init__(self) -> None:
        if not 0 <= self.hits <= self.total:
            raise ValueError("a share needs 0 <= hits <= total")

    @property
    def value(self) -> float | None:
        """The share that was counted."""
        return self.hits / self.total if self.total else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Lower and upper end, each from 0 to 1."""
        if not self.total:
            return None
        share, size, z = self.hits / self.total, self.total, _95_PERCENT
        middle = share + z * z / (2 * size)
        spread = z * math.sqrt(share * (1 - share) / size + z * z / (4 * size * size))
        scale = 1 + z * z / size
        low, high = (middle - spread) / scale, (middle + spread) / scale
        return (0.0 if not self.hits else max(0.0, low)), (1.0 if self.hits == size else min(1.0, high))

    def as_json(self) -> dict[str, object]:
        """For reports."""
        return {"hits": self.hits, "of": self.total, "share": self.value, "interval_95": self.interval}
