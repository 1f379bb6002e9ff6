"""Where transformers begins: none of its noise comes out, and one kind of error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from logging import CRITICAL
from pathlib import Path
from typing import Any

from etude.errors import InputError


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn whatever transformers raises over a broken checkpoint into an `InputError` that names it."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:  # transformers raises nearly every type over a malformed file
        reason = " ".join(str(error).split())
        kind = type(error).__name__
        raise InputError("model", f"{path} cannot be loaded: {kind}: {reason[:300]}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """No bars and no reports from transformers inside this block: what matters becomes an error."""
    from transformers.utils import logging as module

    logging: Any = module

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
