"""What is handed to people: the wheel, the source archive and the Debian package, installed and used."""
