"""Requests and responses in Immich's spelling, and rows turned into them. This spelling stops here."""
