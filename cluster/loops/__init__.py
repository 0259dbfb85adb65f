"""Long-running duties of the controller. They see protocols, not SQL, Ray or tasks."""
