"""Output for people: tables, figures, HTML reports, progress."""
