"""Models on servers with an OpenAI-compatible API.

address: a server's address and key; account: budget and rate limits shared by the jobs of a study; completion: parsing of
responses; options: scoring of options from listed tokens; client: a model as used by one job.
"""
