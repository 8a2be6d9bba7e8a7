"""A node's REST interface: routes by noun, their schema, and errors as problem documents.

pydantic and FastAPI are known here and in no other package.
"""
