"""Codes of a few bits as one stream of bits; see `etude.models.packed.bits`."""

from etude.models.packed.bits import packed as packed
from etude.models.packed.bits import unpacked as unpacked
