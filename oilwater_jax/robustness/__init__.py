"""Group-robustness methods. A method's module has `SCORES`, `find` and `treatment`:

- `SCORES` names the scores of the identification model that it needs, on training and validation samples;
- `find(config, seed, evidence)` returns what it found: named arrays with `flagged` [n], whom it would draw more
  than once per epoch, and whatever else `treatment` needs; and figures for the run folder;
- `treatment(config, mode, found, train)` returns the training that amplifies them, in an amplification mode.
"""
