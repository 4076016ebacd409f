"""The filter's and the fits' passes over the rows, in torch on the device that holds Z.

All in float64. A set and a further column move some tens of bytes through memory for a sum or two,
a row of a fit some three hundred for forty operations or so: that is what they wait for, also on
consumer cards, whose float64 is 1/64 of their float32. In float32 half of that would be saved, and
whatever it prunes would need a proof of its own. Gram products alone wait for arithmetic: 2e11
operations for a centre of 1536 columns and 20,000 rows, some 0.2 s where a card does 1e12 a second.

A node needs four times its columns in float64 (those held, those picked twice, their directions:
at most 4 `leaves.MOST_BYTES`, 8 GiB), and 3 GB for what `pairs` and `pruning` hold at once, some
arrays of F x F among it. Columns come through `leaves.Filter.exact` node by node.
"""
