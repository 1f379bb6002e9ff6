"""Tables: read from CSV or Parquet, turned into numbers, checked column by column."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from etude.data.sets import find_set
from etude.errors import InputError, unknown

if TYPE_CHECKING:
    import pandas as pd

ENDINGS = (".csv", ".csv.gz", ".parquet")


def locate(name: str) -> Path:
    """The file that ``data`` names: a path, or "set/table" of a set that is on this machine.

    Raises
    ------
    InputError : naming ``data``.
    """
    path = Path(name).expanduser()
    if path.is_file():
        if not name.lower().endswith(ENDINGS):
            raise InputError("data", f"{name} is no table; give a file that ends in {', '.join(ENDINGS)}")
        return path
    folder, _, table = name.partition("/")
    place = find_set(folder) if table and folder and not folder.startswith((".", "~")) else None
    if place is None:
        raise InputError("data", f"there is no file {name}, and no set of that name")
    for ending in ENDINGS:
        if (place / f"{table}{ending}").is_file():
            return place / f"{table}{ending}"
    known = {path.name.split(".csv")[0].split(".parquet")[0] for path in place.iterdir()} - {"README.md"}
    raise unknown("data", table, known)


def read(path: Path) -> pd.DataFrame:
    """A CSV or Parquet file, whole.

    Raises
    ------
    InputError : naming ``data``, if it cannot be read or is empty.
    """
    import pandas as pd

    try:
        frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except (OSError, ValueError) as error:  # pandas' and pyarrow's own errors are ValueErrors
        raise InputError("data", f"{path.name} cannot be read as a table: {error}") from error
    if frame.empty:
        raise InputError("data", f"{path.name} holds no rows")
    return frame


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def column(frame: pd.DataFrame, field: str, name: str) -> pd.Series:
    """A column that the user names, complete.

    Raises
    ------
    InputError : naming ``field``, if there is no such column or a cell is empty.
    """
    if name not in frame.columns:
        raise unknown(field, name, map(str, frame.columns))
    found = frame[name]
    if found.isna().any():
        row = int(np.flatnonzero(found.isna())[0])
        raise InputError(
            field, f"column {name!r} is empty in {int(found.isna().sum())} rows, first in row {row}"
        )
    return found


def encode(frame: pd.DataFrame, like: Sequence[str] | None = None) -> pd.DataFrame:
    """All columns as numbers: text and categories as 0/1 columns, without one for the first value.

    Parameters
    ----------
    frame : numbers, truth values, text and categories; no cell empty.
    like : the columns that come out, so that new rows fit an estimator (its ``feature_names_in_``).

    Raises
    ------
    InputError : naming ``data``, for an empty cell, a kind of column that is no feature, or, with
        ``like``, a column that is missing.

    Examples
    --------
    >>> import pandas as pd
    >>> encode(pd.DataFrame({"age": [3, 4], "sex": ["f", "m"]})).to_dict("list")
    {'age': [3.0, 4.0], 'sex_m': [0.0, 1.0]}
    """
    import pandas as pd

    for name in frame.columns:
        if frame[name].isna().any():
            raise InputError("data", f"column {name!r} has empty cells; fill them, or name it in drop")
        if pd.api.types.is_datetime64_any_dtype(frame[name]):
            raise InputError("data", f"column {name!r} holds dates; make numbers of them, or name it in drop")
    numbers = [name for name in frame.columns if pd.api.types.is_numeric_dtype(frame[name])]
    text = [name for name in frame.columns if name not in numbers]
    if like is None:
        return pd.get_dummies(frame, columns=text, drop_first=True).astype(float)
    missing = [name for name in like if name not in frame and not any(name.startswith(f"{t}_") for t in text)]
    if missing:
        raise InputError("data", f"has no column {missing[0]!r}, which the estimator was fitted on")
    return pd.get_dummies(frame, columns=text).reindex(columns=list(like), fill_value=0).astype(float)


def check_features(X: Any) -> None:
    """Raise `InputError` naming ``X``, and the column at fault, unless it is a matrix of finite numbers."""
    if hasattr(X, "tocsr"):
        if not np.isfinite(X.tocsr().data).all():
            raise InputError("X", "holds NaN or infinity")
        return
    array = np.asarray(X)
    if array.ndim != 2:
        raise InputError("X", f"has {array.ndim} dimensions; rows and columns are needed")
    if 0 in array.shape:
        raise InputError("X", f"is empty: {array.shape[0]} rows, {array.shape[1]} columns")
    names = list(getattr(X, "columns", range(array.shape[1])))
    for j, name in enumerate(names):
        try:
            values = array[:, j].astype(float)
        except (TypeError, ValueError) as error:
            raise InputError("X", f"column {name!r} is not numbers; encode it") from error
        if not np.isfinite(values).all():
            raise InputError("X", f"column {name!r} holds NaN or infinity")


def check_target(y: Any, rows: int) -> NDArray[Any]:
    """The target as a vector without gaps, or `InputError` naming ``y``."""
    array = np.asarray(y)
    if array.ndim != 1:
        raise InputError("y", f"has {array.ndim} dimensions; one value a row is needed")
    if len(array) != rows:
        raise InputError("y", f"has {len(array)} entries for {rows} rows")
    gaps = [value is None or value != value for value in array.tolist()]
    if any(gaps):
        raise InputError("y", f"is NaN in {sum(gaps)} rows, first in row {gaps.index(True)}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError("y", "holds infinity")
    return array
