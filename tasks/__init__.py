"""The work: one file per job type, and the media code that they call. Imports `cluster` only."""
