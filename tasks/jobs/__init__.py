"""One file per job type, each read from top to bottom: spec, load, work, save. `tasks/registry.py` lists them."""
