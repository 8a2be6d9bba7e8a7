"""The API's shape: bodies and problem documents."""
