"""Real processes that die or stand still at moments that nobody chose."""
