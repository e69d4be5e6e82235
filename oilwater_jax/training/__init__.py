"""Training: step, epoch, fit, checkpoints, model selection."""
