"""Untrusted text as the API returns it: rendered HTML, the source, and the text direction."""

from typing import Literal

from pydantic import BaseModel

from fairlead.data.records import Messages, Role
from fairlead.studio import safe_html

Direction = Literal["ltr", "rtl"]


class RenderedText(BaseModel):
    html: str
    text: str
    dir: Direction


class PromptMessage(RenderedText):
    """One message of a prompt."""

    role: Role


class HtmlPreview(BaseModel):
    html: str


class MarkdownPreview(BaseModel):
    html: str
    dir: Direction


def render_text(text: str) -> RenderedText:
    return RenderedText(html=str(safe_html.render(text)), text=text, dir=safe_html.direction(text))


def render_prompt(messages: Messages) -> list[PromptMessage]:
    return [
        PromptMessage(role=message.role, **render_text(message.content).model_dump()) for message in messages
    ]


def markdown_preview(text: str, html: safe_html.Safe) -> MarkdownPreview:
    return MarkdownPreview(html=html, dir=safe_html.direction(text))
