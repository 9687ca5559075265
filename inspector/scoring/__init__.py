"""From outcomes of the inversion to scores and an accusation."""
