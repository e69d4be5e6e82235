"""Attacks. An attack's module has `FIGURES`, `check`, `attack` and `make_goal`:

- `FIGURES` names what the goal measures; the first is the attack's success;
- `MODELS` names the models that the attacker trains (often none), which the progress bar counts;
- `check(config, splits)` raises UserError for settings that this data set cannot serve;
- `attack(config, splits, judged, seed, lab)` returns what it does to the training set (types.Attacked);
- `make_goal(config, judged, evidence)` returns the Goal that its success on the split `judged` is measured by.
"""
