"""Frontiers: worst-group accuracy against attack success over all settings of a row's dials."""
