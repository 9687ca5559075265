"""The OpenAPI document against the running API: schemathesis sends, judges and follows links.

A world (``world``) is an API process over real HTTP on SQLite or PostgreSQL, seeded by a real worker
with inspections of every status. A campaign (``campaign``) sends cases that fit the document and
cases that do not, until there are as many as were asked for, and counts them (``tally``). A twin
(``twin``) is a second world on the other database that gets every request too and must answer alike.
"""
