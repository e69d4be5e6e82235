"""Attacks on a training set (`entries.Attack`), and what several of them share."""
