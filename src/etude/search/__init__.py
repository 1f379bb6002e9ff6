"""Search: documents in, the right ones first."""
