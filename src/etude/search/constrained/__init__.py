"""Constrained decoding: texts generated token by token, of which only those of a catalogue are possible."""
