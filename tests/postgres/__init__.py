"""PostgreSQL on replicated volumes: its data and its log on two volumes of one group."""
