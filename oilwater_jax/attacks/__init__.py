"""Attacks. An attack's module has `check`, `attack` and `make_goal`:

- `check(config, splits)` raises UserError for settings that this data set cannot serve;
- `attack(config, splits, seed)` returns the poisoned training set;
- `make_goal(config, examples)` returns the Goal that its success on a split is measured by.
"""
