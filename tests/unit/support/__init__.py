"""What goes into a support bundle, and what does not."""
