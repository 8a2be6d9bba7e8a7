"""What somebody at a terminal has beside the commands: manual pages, and completion in their shell."""
