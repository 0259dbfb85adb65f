"""The pages that a browser is shown: sign-in, jobs, and what an admin looks at. No build step, no other host."""
