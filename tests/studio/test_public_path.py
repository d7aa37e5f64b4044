"""The studio under a path of its public address: every page, link, cookie, stream and upload."""

import json
import re
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx
import pytest

import web
from fairlead.labels import credentials, passwords, people
from fairlead.labels.database import Database, now
from fairlead.labels.errors import StudioError
from fairlead.studio import public_path
from fairlead.studio.app import create_app
from fairlead.studio.settings import Settings
from proxies import Proxy
from studio.proxied import PATH, proxied

PASSWORD = "correct horse battery"


def test_links_of_a_page_get_the_path_and_texts_do_not() -> None:
    page = (
        '<a class="x" href="/c/one">/c/one</a> href="/c/two" &lt;a href="/c/three"&gt;'
        '<form action="/new" data-api="POST /api/v1/invites"><input value="/c/four">'
        '<a href="https://example.org/">x</a><a href="#top">x</a><a href="//example.org/">x</a>'
    )
    assert public_path.add_to_links(page, "") == page
    assert public_path.add_to_links(page, PATH) == (
        '<a class="x" href="/labels/c/one">/c/one</a> href="/c/two" &lt;a href="/c/three"&gt;'
        '<form action="/labels/new" data-api="POST /labels/api/v1/invites"><input value="/c/four">'
        '<a href="https://example.org/">x</a><a href="#top">x</a><a href="//example.org/">x</a>'
    )


@pytest.mark.parametrize("sent", [PATH, ""], ids=["passed on", "taken off"])
def test_a_proxy_may_pass_the_path_on_or_take_it_off(
    database: Database, database_url: str, sent: str
) -> None:
    app = create_app(Settings(database=database_url, public_url=f"https://example.org{PATH}"), database)
    with web.stranger(app) as client:
        page = client.get(f"{sent}/login")
        assert page.status_code == 200 and f'href="{PATH}/static/studio.css"' in page.text
        away = client.get(f"{sent}/people?x=1")
        assert (away.status_code, away.headers["location"]) == (303, f"{PATH}/login?next=/people%3Fx%3D1")
        assert client.get(f"{sent}/static/studio.css").status_code == 200
        assert client.get(f"{sent}/labelsx").status_code == 404
        assert client.get(f"{sent}/api/v1/openapi.json").json()["servers"] == [{"url": PATH}]


def test_a_path_that_is_a_page_is_refused(database: Database, database_url: str) -> None:
    for path in ("/c", "/people/labels", "/static", "/api/studio"):
        with pytest.raises(StudioError, match="also a page"):
            create_app(Settings(database=database_url, public_url=f"https://example.org{path}"), database)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nginx", "caddy"])
def test_the_whole_studio_works_behind_the_documented_proxy(
    name: Proxy, database: Database, database_url: str, tmp_path: Path
) -> None:
    with database.write() as connection:
        _, secret = credentials.create_invite(connection, role="owner", days=1, by="system", at=now())
    with (
        proxied(name, database, database_url, tmp_path) as studio,
        httpx.Client(follow_redirects=True, timeout=30, headers={"Origin": origin_of(studio.url)}) as client,
    ):
        url = studio.url
        form = {"name": "Ada", "email": "ada@example.org", "password": PASSWORD, "agree": "true"}
        joined = client.post(f"{url}/join/{secret}", data=form)
        assert str(joined.url) == f"{url}/campaigns", joined.text
        [cookie] = client.cookies.jar
        assert cookie.path == PATH
        csrf = re.search(r'name="csrf" content="([^"]+)"', joined.text)
        assert csrf is not None
        client.headers["X-CSRF-Token"] = csrf[1]

        rows = "".join(
            json.dumps({"prompt": f"{n}?", "chosen": "Yes.", "rejected": "No."}) + "\n" for n in range(3)
        )
        uploaded = client.post(
            f"{url}/new/uploads", files={"file": ("rows.jsonl", rows)}, data={"csrf": csrf[1]}
        )
        assert str(uploaded.url).startswith(f"{url}/new/kind?upload="), uploaded.text
        made = client.post(f"{url}/api/v1/campaigns", json={"name": "Help", "kind": "pairwise"})
        assert made.status_code == 201, made.text
        invited = client.post(f"{url}/api/v1/campaigns/help/invites", json={"role": "labeller"}).json()
        assert invited["url"].startswith(f"{url}/join/")
        assert client.get(invited["url"]).status_code == 200
        crawl(client, url)

        with client.stream("GET", f"{url}/api/v1/events?after=0") as stream:
            lines = stream.iter_lines()
            assert any(line.startswith("data:") and "campaign" in line for line in lines)
        client.post(f"{url}/logout", data={"csrf": csrf[1]})
        assert not client.cookies.jar or client.get(f"{url}/people").url.path == f"{PATH}/login"


def crawl(client: httpx.Client, url: str) -> None:
    """Follow every link and load every file of every page: all are under the path, and all exist."""
    waiting, seen = [f"{url}/"], set[str]()
    while waiting:
        address = waiting.pop()
        page = client.get(address)
        assert page.status_code == 200, (address, page.status_code)
        assert page.url.path.startswith(PATH + "/"), page.url
        if not page.headers["content-type"].startswith("text/html"):
            continue
        for link in re.findall(r'\s(?:href|src|data-refresh|hx-get)="([^"#][^"]*)"', page.text):
            target = urljoin(str(page.url), link.replace("&amp;", "&")).partition("#")[0]
            if origin_of(target) == origin_of(url) and target not in seen:
                assert urlsplit(target).path.startswith(PATH + "/"), (address, link)
                seen.add(target)
                waiting.append(target)
        for action in re.findall(r'\s(?:action|hx-post|data-api|data-then)="([^"]*)"', page.text):
            path = action.rpartition(" ")[2]
            assert path.startswith((PATH + "/", "#", "reload")), (address, action)
    assert len(seen) > 25, sorted(seen)


def origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def test_a_session_is_kept_from_other_paths(database: Database, database_url: str) -> None:
    app = create_app(Settings(database=database_url, public_url=f"https://example.org{PATH}"), database)
    with database.write() as connection:
        people.add(
            connection, name="Ada", email="ada@example.org", password=passwords.hash_password(PASSWORD)
        )
    with web.stranger(app) as client:
        form = {"email": "ada@example.org", "password": PASSWORD}
        said = client.post(f"{PATH}/login", data=form, headers={"Origin": "https://example.org"})
        assert said.status_code == 303 and said.headers["location"] == f"{PATH}/"
        assert f"Path={PATH};" in said.headers["set-cookie"]
