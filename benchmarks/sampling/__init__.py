"""What orders of files bring together, and how fast files are ordered."""
