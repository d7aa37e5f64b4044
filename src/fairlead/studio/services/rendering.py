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


def preview_html(text: str) -> HtmlPreview:
    return HtmlPreview(html=str(safe_html.render(text)))


def preview_markdown(text: str) -> MarkdownPreview:
    return MarkdownPreview(html=safe_html.render(text), dir=safe_html.direction(text))
