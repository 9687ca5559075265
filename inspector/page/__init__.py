"""The page that a buyer reads: one HTML file, drawn from the stored report and from nothing else.

The same report, record and pictures give the same bytes, on any machine and at any time. Every
figure that is shown is one of the report's or the record's, and stands beside it in full in the
attribute ``value`` of its element. Judges nothing; needs no torch and nothing else of the
inspector, so that the service and the command line draw the same page.
"""

from inspector.page.pictures import MOST_BYTES
from inspector.page.printing import NoPrinter, pdf_of
from inspector.page.rendering import STYLE, Sources, render

__all__ = ["MOST_BYTES", "STYLE", "NoPrinter", "Sources", "pdf_of", "render"]
