"""The repository graph: which file of a repository imports or uses which, and how sure that is."""
