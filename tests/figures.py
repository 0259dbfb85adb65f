"""What tests measured, in words; printed when all have run."""

FIGURES: list[str] = []
