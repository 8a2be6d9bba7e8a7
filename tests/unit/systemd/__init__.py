"""What we say to systemd."""
