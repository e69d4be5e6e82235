"""Frontiers: what a row can reach over all settings of its dials, worst-group accuracy against the attack's success."""
