"""Models behind servers that speak OpenAI's protocol.

address: where a server is and which key it wants; account: what the jobs of a study may still spend and send;
completion: what an answer says; options: how a listing of likely tokens scores options; client: one model as one job
uses it.
"""
