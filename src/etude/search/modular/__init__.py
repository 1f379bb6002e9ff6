"""Encoders with an adapter for each language: made, pre-trained, extended, and fine-tuned for search."""
