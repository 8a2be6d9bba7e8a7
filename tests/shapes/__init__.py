"""Groups with many links, nodes with many copies, groups that grow and shrink."""
