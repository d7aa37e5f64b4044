"""For whoever changes a table: writes the next migration, from what the newest version makes to what the modules now say.

    python -m fairlead.labels.migrations.write "tasks know their language"
    python -m fairlead.labels.migrations.write --first        the first version anew; only before it was ever released

Then `ruff format` it, and read what was written: a renamed column looks like one dropped and one added.
A version that was released is never changed.
"""

import re
import sys
import tempfile
from pathlib import Path

from alembic import command
from alembic.script import ScriptDirectory

from fairlead.labels import schema
from fairlead.labels.database import open_database

FIRST = "The first tables"


def write(message: str, *, batch: bool = True) -> Path:
    """`batch` rewrites whole tables, as SQLite needs it for most changes of one that is there."""
    with tempfile.TemporaryDirectory() as folder:
        opened = open_database(str(Path(folder) / "studio.db"))
        schema.upgrade(opened)
        with opened.engine.begin() as connection:
            config = schema.config(connection)
            config.set_main_option("file_template", "%%(rev)s")
            config.attributes["batch"] = batch
            number = len(list(ScriptDirectory.from_config(config).walk_revisions())) + 1
            made = command.revision(config, message, autogenerate=True, rev_id=f"v{number:04}")
        opened.close()
    assert made is not None and not isinstance(made, list)
    path = Path(made.path)
    path.write_text(
        re.sub(r"^ *# ### .*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE), encoding="utf-8"
    )
    return path


def write_first() -> Path:
    versions = schema.MIGRATIONS / "versions"
    later = [path.name for path in versions.glob("v*.py") if path.name != "v0001.py"]
    assert not later, f"the first version has others after it: {', '.join(later)}"
    (versions / "v0001.py").unlink(missing_ok=True)
    return write(FIRST, batch=False)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(write_first() if sys.argv[1] == "--first" else write(sys.argv[1]))
