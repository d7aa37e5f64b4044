"""Write the next migration: the difference between the newest migration and the tables of the modules.

    python -m fairlead.labels.migrations.write "add a language to items"
    python -m fairlead.labels.migrations.write --first    rewrite the first migration, before its release only

Run `ruff format` on the new file and read it: a renamed column appears as a dropped and an added column.
Never change a released migration.
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
    """`batch` rewrites whole tables, which SQLite needs for most changes of an existing table."""
    with tempfile.TemporaryDirectory() as folder:
        opened = open_database(str(Path(folder) / "studio.db"))
        schema.upgrade(opened)
        with opened.engine.begin() as connection:
            config = schema.config(connection)
            config.set_main_option("file_template", "%%(rev)s")
            config.attributes["batch"] = batch
            number = len(list(ScriptDirectory.from_config(config).walk_revisions())) + 1
            script = command.revision(config, message, autogenerate=True, rev_id=f"v{number:04}")
        opened.close()
    assert script is not None and not isinstance(script, list)
    path = Path(script.path)
    path.write_text(
        re.sub(r"^ *# ### .*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE), encoding="utf-8"
    )
    return path


def write_first() -> Path:
    versions = schema.MIGRATIONS / "versions"
    later = [path.name for path in versions.glob("v*.py") if path.name != "v0001.py"]
    assert not later, f"later migrations exist: {', '.join(later)}"
    (versions / "v0001.py").unlink(missing_ok=True)
    return write(FIRST, batch=False)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(write_first() if sys.argv[1] == "--first" else write(sys.argv[1]))
