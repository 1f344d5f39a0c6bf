"""mailbell: mail in, events out."""

__version__ = "0.2.0"
