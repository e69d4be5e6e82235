"""Planning: memory, time and chip-hours of an experiment's programs, without the machine.

The programs of a run are compiled, from the shapes of their arguments alone, for a TPU topology by the TPU's own
compiler, or for this machine's CPU. The compiler says what memory each takes and what it computes and moves; a roofline
makes a time of that. It is an estimate: XLA's bytes include some that stay on the chip, and what waits for what is not
in it; only the machine can tell.
"""
