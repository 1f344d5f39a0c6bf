"""The commands. Heavy imports stand inside the command that needs them: help answers in under 0.2 s."""
