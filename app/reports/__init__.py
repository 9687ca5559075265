"""What an inspection found: verdict, report as JSON and as a page, files, all runs per hash."""
