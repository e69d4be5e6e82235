"""Why loss cannot spare the minority and hit the poison: a Gaussian model in which every figure has a closed form.

NumPy and SciPy in float64, pure functions, no JAX. `model` holds the groups and the training, the other modules
what follows from them; `oilwater theory` prints and draws it (`command`).
"""
