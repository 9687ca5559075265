"""Repair: take the backdoor out of a prompt without labelled data, then prove that it is gone."""
