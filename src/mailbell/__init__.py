"""mailbell: mail in, events out."""

__version__ = "0.1.0"
