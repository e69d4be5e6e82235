"""Defences against poisoning (`entries.Method`): they eliminate samples, or harden training."""
