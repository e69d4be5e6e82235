"""Networks. A module of a network has `build(name=..., n_classes=..., widths=..., dtype=...) -> flax module`, whose
call (image [b, h, w, c], mask [b] or None) returns (logits [b, k], features [b, d]), both float32.

`features(name, widths)` is d. The last layer is named `head`. `dtype` is what the network computes in; parameters are
float32 always, and so are the statistics of norm layers, the head and all that comes after it. A mask is given in
training only and says which rows are samples and which are padding: batch normalisation then normalises by the batch
(without the padding) and moves its running statistics. Without a mask the network is frozen: each sample's logits
depend on it alone.
"""
