"""Etude over HTTP."""
