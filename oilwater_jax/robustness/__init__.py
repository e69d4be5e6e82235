"""Group-robustness methods. A method has SCORES (what it needs to know) and `flag(scores) -> mask [n]`."""
