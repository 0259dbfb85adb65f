"""Pictures and videos as files: pure code, no session, no Ray. Imports `cluster.errors` and nothing else of ours."""
