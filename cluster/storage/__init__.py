"""Files on disk: where they lie, how they appear whole, and whether the disk is there at all."""
