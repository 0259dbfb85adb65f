"""What runs the work: queue, database, loops, nodes. Imports nothing of `tasks` or `serve_app`."""
