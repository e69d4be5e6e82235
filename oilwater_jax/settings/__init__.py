"""Settings: fields, configs of them, what is registered under which name, the literature's settings."""
