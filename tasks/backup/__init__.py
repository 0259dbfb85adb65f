"""Backups of the database: what they are called, how they are written and proved, how they come back."""
