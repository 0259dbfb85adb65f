"""What people touch: the HTTP API, its services, the command line. Imports `tasks` and `cluster`."""
