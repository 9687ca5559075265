"""Out-of-distribution probe images: built in and procedural, or a user's folder or zip."""
