"""`fairlead studio`: assembles its commands, which three modules define."""

from fairlead.cli import studio, studio_keeping, studio_rows

app = studio.app
app.command("snapshot")(studio_rows.snapshot)
app.command("export")(studio_rows.export)
app.add_typer(studio_keeping.token, name="token")
app.command("backup")(studio_keeping.backup)
app.command("restore")(studio_keeping.restore)
