"""Which per-sample signal separates a poison from a minority sample: scores over a training, and their AUROCs."""
