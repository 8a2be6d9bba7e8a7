"""Seeds of the simulator, and the rules broken on purpose."""
