"""What travels, what waits and what is reported while two sites cannot reach each other, and afterwards."""
