"""HTTP only: one router per area of Immich's API."""
