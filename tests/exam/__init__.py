"""The exam: a frozen rule, or a published detector, on the models of `tests.zoo.sets`, and its table."""
