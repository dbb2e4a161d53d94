"""Looking at the graph of one repository: in the terminal, as a drawing, as a page."""
