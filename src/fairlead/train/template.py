"""The chat template of a run: where its `[template]` settings point, and what a run says about it."""

from dataclasses import replace

from fairlead.core.template_settings import Template
from fairlead.encoding.chat_format import ChatFormat
from fairlead.store.run import Run


def given_template(run: Run, settings: Template) -> Template:
    """The settings, with a template file where the run found it."""
    if "template" not in run.inputs:
        return settings
    return replace(settings, file=run.model_path("template"))


def note_template(run: Run, chat: ChatFormat) -> None:
    """Warn about a template that reads the clock.  A run that goes on repeats the warning."""
    if chat.note is not None:
        run.warn(chat.note)
