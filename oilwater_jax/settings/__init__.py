"""Settings: fields, configs, the registry, and published settings."""
