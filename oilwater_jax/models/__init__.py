"""Networks. A module of a network has `build(n_classes=..., **settings) -> flax module`, whose call
returns (logits [b, k], features [b, d]).
"""
