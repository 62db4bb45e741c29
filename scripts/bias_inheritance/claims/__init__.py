"""The claims of catalog/claims.yaml on a study's tables: frames → contrasts → testing → verdicts, and what stands beside."""
