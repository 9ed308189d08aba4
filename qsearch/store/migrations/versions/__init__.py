"""One file per revision; a revision that was released never changes."""
