"""The queue's words and rules, pure: no SQL, no Ray."""
