"""Group-robustness methods (`entries.Method`), and what they are made of. Oracles know the true groups."""
