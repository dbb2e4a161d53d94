"""What a run will need and take, before any device is rented: ``treespan plan``."""
