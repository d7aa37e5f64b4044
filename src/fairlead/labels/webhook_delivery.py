"""Sends events to webhooks: signed, in order, again after a failure, and to public addresses only.

    POST URL
    Content-Type: application/json
    Fairlead-Signature: t=1769850000,v1=<hex of HMAC-SHA256(secret, "1769850000." + body)>

    {"webhook": 3, "events": [{"seq", "at", "verb", "actor", "campaign", "subject", "body"}, …]}

The host is looked up once: the address that was checked is the one that is connected to.  Redirects are not
followed.  A delivery ends after DELIVERY_S, whatever the receiver does.
"""

import contextlib
import hashlib
import hmac
import http.client
import ipaddress
import json
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy.exc import SQLAlchemyError

import fairlead
from fairlead.labels import campaigns, events, webhooks
from fairlead.labels.database import Database
from fairlead.labels.webhooks import Webhook

SIGNATURE = "Fairlead-Signature"
MAX_EVENTS = 100  # of a delivery
MAX_PAGES = 20  # of 500 events that are searched for some to deliver
DELIVERY_S = 20.0
POLL_S = 1.0
STOP_TIMEOUT_S = 5.0
NAT64 = ipaddress.ip_network("64:ff9b::/96")
PRIVATE = "is not a public address. To allow private ones, start the studio with --private-webhooks"

log = logging.getLogger(__name__)

Post = Callable[[str, bytes, dict[str, str]], int]  # URL, body, headers -> status; raises DeliveryFailed


class DeliveryFailed(Exception):
    """The receiver could not be reached.  The message is shown to the owner."""


def sign(secret: str, body: bytes, at: datetime) -> str:
    timestamp = int(at.timestamp())
    mac = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256)
    return f"t={timestamp},v1={mac.hexdigest()}"


def deliver_due(database: Database, post: Post, *, at: datetime | None = None) -> int:
    """Make one attempt for each webhook that is due.  Returns the number of attempts."""
    at = at or datetime.now(UTC)
    num_attempts = 0
    while num_attempts < webhooks.MAX_WEBHOOKS:
        with database.read() as connection:
            if not webhooks.is_due(connection, at=at):
                break
        with database.write() as connection:
            webhook = webhooks.claim_due(connection, at=at)
        if webhook is None:
            break
        num_attempts += 1
        _attempt(database, webhook, post, at)
    return num_attempts


def _attempt(database: Database, webhook: Webhook, post: Post, at: datetime) -> None:
    batch, sent_seq, slugs = _batch(database, webhook)
    result = None
    if batch:
        content = {"webhook": webhook.id, "events": [_event_json(event, slugs) for event in batch]}
        body = json.dumps(content).encode()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"fairlead/{fairlead.__version__}",
            SIGNATURE: sign(webhook.secret, body, datetime.now(UTC)),
        }
        try:
            status = post(webhook.url, body, headers)
        except DeliveryFailed as error:
            result, is_accepted = str(error), False
        else:
            result, is_accepted = str(status), 200 <= status < 300
        if not is_accepted:
            with database.write() as connection:
                webhooks.record_failure(connection, webhook, result=result)
            return
    with database.write() as connection:
        webhooks.record_success(connection, webhook, sent_seq=sent_seq, result=result, at=at)


def _batch(database: Database, webhook: Webhook) -> tuple[list[events.Event], int, dict[int, str]]:
    """The next events that the webhook wants, and the number up to which there are no others."""
    wanted: list[events.Event] = []
    position = webhook.sent_seq
    with database.read() as connection:
        slugs = {campaign.id: campaign.slug for campaign in campaigns.list_all(connection)}
        for _ in range(MAX_PAGES):
            page = events.list_after(connection, position, limit=500)
            for event in page:
                position = event.seq
                if webhook.wants(event) or event.subject == f"webhook/{webhook.id}":
                    wanted.append(event)
                if len(wanted) == MAX_EVENTS:
                    return wanted, position, slugs
            if len(page) < 500 or wanted:
                break
    return wanted, position, slugs


def _event_json(event: events.Event, slugs: dict[int, str]) -> dict[str, Any]:
    return {
        "seq": event.seq,
        "at": event.at,
        "verb": event.verb,
        "actor": event.actor,
        "campaign": slugs.get(event.campaign_id or 0),
        "subject": event.subject,
        "body": event.body,
    }


# ---------------------------------------------------------------- network


def is_public(address: str) -> bool:
    """Whether a network address belongs to the internet, also when it is wrapped in another one."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed in NAT64:
            return is_public(str(ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)))
        wrapped = parsed.ipv4_mapped or parsed.sixtofour or (parsed.teredo and parsed.teredo[1])
        if wrapped:
            return is_public(str(wrapped))
    return parsed.is_global and not parsed.is_multicast


def why_private(url: str) -> str | None:
    """The reason why this address is refused without a look-up, or None."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    if host == "localhost" or host.endswith((".localhost", ".local", ".internal")):
        return f"{host} {PRIVATE}"
    try:
        return None if is_public(host) else f"{host} {PRIVATE}"
    except ValueError:
        return None


def sender(*, allow_private: bool) -> Post:
    """The function that sends a delivery over the network."""

    def post(url: str, body: bytes, headers: dict[str, str]) -> int:
        parts = urlsplit(url)
        host, is_secure = parts.hostname or "", parts.scheme == "https"
        port = parts.port or (443 if is_secure else 80)
        try:
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise DeliveryFailed(f"{host} cannot be found: {error.strerror}") from None
        addresses = [str(entry[4][0]) for entry in entries]
        if not allow_private and not all(map(is_public, addresses)):
            raise DeliveryFailed(f"{host} {PRIVATE}")
        try:
            with contextlib.ExitStack() as stack:
                connected = _connect(stack, addresses, port)
                if is_secure:
                    context = ssl.create_default_context()
                    secured = context.wrap_socket(
                        connected, server_hostname=host, do_handshake_on_connect=False
                    )
                    connected = stack.enter_context(secured)
                is_late = threading.Event()
                timer = threading.Timer(DELIVERY_S, _end, [connected, is_late])
                stack.callback(timer.cancel)
                timer.start()
                if isinstance(connected, ssl.SSLSocket):
                    connected.do_handshake()
                connection = http.client.HTTPConnection(host, port, timeout=DELIVERY_S)
                connection.sock = connected
                path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
                connection.request("POST", path, body, {**headers, "Connection": "close"})
                status = connection.getresponse().status
                if is_late.is_set():
                    raise TimeoutError(f"it took longer than {DELIVERY_S:g} s")
                return status
        except (OSError, http.client.HTTPException, ValueError) as error:
            why = str(error) or type(error).__name__
            raise DeliveryFailed(f"{host} did not take the delivery: {why}") from None

    return post


def _connect(stack: contextlib.ExitStack, addresses: Sequence[str], port: int) -> socket.socket:
    """Connect to the first address that answers."""
    problem: OSError | None = None
    for address in addresses[:4]:
        try:
            connected = socket.create_connection((address, port), timeout=DELIVERY_S / 4)
        except OSError as error:
            problem = error
        else:
            connected.settimeout(DELIVERY_S)
            return stack.enter_context(connected)
    raise problem or OSError("it has no address")


def _end(connected: socket.socket, is_late: threading.Event) -> None:
    is_late.set()
    with contextlib.suppress(OSError):
        socket.socket.shutdown(connected, socket.SHUT_RDWR)  # that of TLS would interfere with the reader


# ---------------------------------------------------------------- thread


class DeliveryThread:
    """Delivers in a thread beside the jobs, so that a long job delays no delivery."""

    def __init__(self, database: Database, *, allow_private: bool) -> None:
        self._database = database
        self._post = sender(allow_private=allow_private)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """A delivery that is under way is repeated by another worker when its claim ends."""
        self._stop.set()
        self._thread.join(STOP_TIMEOUT_S)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                deliver_due(self._database, self._post)
            except SQLAlchemyError:  # the database is unavailable for a moment
                log.warning("could not deliver to webhooks", exc_info=True)
            self._stop.wait(POLL_S)
