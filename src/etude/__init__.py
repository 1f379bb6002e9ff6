"""Papers as methods that anyone can run on their own model and data, compare and check."""

from __future__ import annotations

__version__ = "0.1.0"
