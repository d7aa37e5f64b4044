"""The base of request bodies that refuse unknown fields.

A program that misspells a field, or sends a column that the studio does not keep, must learn so.  What
labellers send is read without this base: a page that is older than the server must not lose an answer to a
field that the server does not know any more.
"""

from pydantic import BaseModel, ConfigDict


class RequestBody(BaseModel):
    model_config = ConfigDict(extra="forbid")
