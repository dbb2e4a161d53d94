"""Looking at packed rows: what each token is for, in the terminal and as a page."""
