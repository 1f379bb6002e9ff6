"""What searches find, as arrays: positions of documents and their scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Found = tuple[NDArray[np.int64], NDArray[np.float32]]
    """Positions and scores, both [queries, k], best first; where there are fewer, positions end in -1."""


def merged(found: Sequence[Found], sizes: Sequence[int], k: int) -> Found:
    """The best of what each of several segments gave, positions running on; the first is first among equals.

    Examples
    --------
    >>> import numpy as np
    >>> first = np.array([[1, 0]]), np.array([[3.0, 1.0]], np.float32)
    >>> second = np.array([[0, -1]]), np.array([[2.0, 0.0]], np.float32)
    >>> merged([first, second], [2, 1], k=2)
    (array([[1, 2]]), array([[3., 2.]], dtype=float32))
    """
    import numpy as np

    starts = np.cumsum([0, *sizes])
    parts = zip(found, starts, strict=False)
    positions = np.concatenate([np.where(p < 0, -1, p + start) for (p, _), start in parts], axis=1)
    scores = np.concatenate([scores for _, scores in found], axis=1)
    order = np.argsort(np.where(positions < 0, np.inf, -scores), axis=1, kind="stable")[:, :k]
    return np.take_along_axis(positions, order, 1), np.take_along_axis(scores, order, 1)


def only(found: Found, allowed: NDArray[np.bool_], k: int) -> Found:
    """The best of what was found among those that may be found.

    Examples
    --------
    >>> import numpy as np
    >>> found = np.array([[2, 0, 1]]), np.array([[3.0, 2.0, 1.0]], np.float32)
    >>> only(found, np.array([True, True, False]), k=3)
    (array([[ 0,  1, -1]]), array([[2., 1., 3.]], dtype=float32))
    """
    import numpy as np

    positions, scores = found
    kept = (positions >= 0) & allowed[positions]
    order = np.argsort(~kept, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(np.where(kept, positions, -1), order, 1), np.take_along_axis(scores, order, 1)
