"""All short lives of two and three copies, over the code that decides who is newer."""
