"""Models whose weights stay packed: a few bits a weight on disk, in memory and in the product.

`Packed` is a weight in few bits and `Scheme` how it is stored. Each layout that others define has one
module, which writes and reads it; `reading` opens a checkpoint of any, `linear` computes with it.
"""
