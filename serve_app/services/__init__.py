"""One user action per file, without HTTP."""
