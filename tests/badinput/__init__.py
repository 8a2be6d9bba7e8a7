"""What users get wrong: each mistake has its error and its next step, and changes nothing."""
