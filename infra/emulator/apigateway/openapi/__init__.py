"""OpenAPI documents as API Gateway reads them: what it refuses, and which requests go where.

Begin with `documents.py`. Pure: texts in, a `Surface` out.
"""
