"""One seed for every source of randomness."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed Python, numpy and torch inside this block, and put their states back afterwards.

    numpy and torch are seeded only if something has imported them: before that they cannot have
    been used.

    Examples
    --------
    >>> with seeded(0):
    ...     first = random.random()
    >>> with seeded(0):
    ...     random.random() == first
    True
    """
    python_state = random.getstate()
    random.seed(seed)
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    numpy_state = numpy.random.get_state() if numpy else None
    torch_state = torch.get_rng_state() if torch else None
    if numpy:
        numpy.random.seed(seed)
    if torch:
        torch.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(python_state)
        if numpy:
            numpy.random.set_state(numpy_state)
        if torch:
            torch.set_rng_state(torch_state)
