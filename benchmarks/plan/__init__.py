"""What `treespan plan` predicts for this machine, beside what real steps take."""
