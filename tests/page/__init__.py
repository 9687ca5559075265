"""Pages of real inspections: what a service stored, made by `tests.page.make`, and how it is looked at."""
