"""The benchmark measures what it says and invents nothing."""
