// Receives the studio's events over one connection per browser.
//
//   const stop = watchEvents({ after: 42, onEvent: (event) => …, onState: (state) => … });
//
// Of all open windows, one leads: it holds the connection and passes the events on to the others.  When it
// closes, another takes over.  Where no stream can be opened, the leader polls.
//
// `onEvent` gets the events of every campaign that the user may see; `event.campaign` is the campaign's slug.
// The states are "live", "polling" and "lost".

import { root } from "./root.js";

const LEASE_KEY = `fairlead-live${root}`; // in localStorage; also the name of the channel between windows
const LEASE_MS = 6000; // a leader that has not renewed its lease for this long is gone
const HEARTBEAT_MS = 2000;
const SILENCE_MS = 40_000; // the server sends something every 15 s
const POLL_MS = 4000;
const RETRY_STREAM_MS = 60_000;
const MAX_FAILURES = 3;
const STREAM_URL = `${root}/api/v1/events`;
const LIST_URL = `${root}/api/v1/events/list`;

export function watchEvents({ after, onEvent, onState = () => {} }) {
  const windowId = crypto.getRandomValues(new Uint32Array(2)).join("-");
  const channel = new BroadcastChannel(LEASE_KEY);
  let lastSeq = after;
  let isLeader = false;
  let source = null;
  let failures = 0;
  let pollTimer = 0;
  let retryTimer = 0;
  let receivedAt = Date.now();
  let state = "";

  const broadcast = (message) => channel.postMessage(message);

  function setState(newState) {
    if (newState === state) return;
    state = newState;
    onState(state);
  }

  function deliver(event) {
    if (event.seq <= lastSeq) return; // from another window, or older than the page
    lastSeq = event.seq;
    onEvent(event);
  }

  function openStream() {
    closeStream();
    source = new EventSource(`${STREAM_URL}?after=${lastSeq}`);
    source.onopen = () => {
      failures = 0;
      receivedAt = Date.now();
      stopPolling();
      setState("live");
      broadcast({ state: "live" });
    };
    source.onmessage = (message) => {
      receivedAt = Date.now();
      const event = JSON.parse(message.data);
      deliver(event);
      broadcast({ event });
    };
    source.onerror = () => {
      failures += 1;
      // The browser reopens a lost stream by itself, but not a refused one.
      if (source.readyState === EventSource.CLOSED || failures > MAX_FAILURES) {
        closeStream();
        startPolling();
      } else {
        setState("lost");
        broadcast({ state: "lost" });
      }
    };
  }

  function closeStream() {
    source?.close();
    source = null;
  }

  async function poll() {
    try {
      const url = `${LIST_URL}?after=${lastSeq}&limit=200`;
      const response = await fetch(url, { headers: { Accept: "application/json" } });
      if (response.status === 401) {
        location.reload();
        return;
      }
      if (!response.ok) throw new Error(response.status);
      const { events, last } = await response.json();
      for (const event of events) {
        deliver(event);
        broadcast({ event });
      }
      lastSeq = Math.max(lastSeq, last);
      setState("polling");
      broadcast({ state: "polling" });
    } catch {
      setState("lost");
      broadcast({ state: "lost" });
    }
  }

  function startPolling() {
    clearTimeout(retryTimer);
    retryTimer = setTimeout(() => isLeader && openStream(), RETRY_STREAM_MS);
    if (pollTimer) return;
    poll();
    pollTimer = setInterval(poll, POLL_MS);
  }

  function stopPolling() {
    clearInterval(pollTimer);
    clearTimeout(retryTimer);
    pollTimer = 0;
    retryTimer = 0;
  }

  function lead() {
    if (isLeader) return;
    isLeader = true;
    broadcast({ leads: windowId });
    openStream();
  }

  function follow() {
    if (!isLeader) return;
    isLeader = false;
    closeStream();
    stopPolling();
  }

  function readLease() {
    try {
      return JSON.parse(localStorage.getItem(LEASE_KEY)) || {};
    } catch {
      return {};
    }
  }

  function renewOrTakeLease() {
    const now = Date.now();
    const lease = readLease();
    const isFree = !(now - lease.at < LEASE_MS); // also true for a lease without a time
    if (lease.by === windowId || isFree) {
      localStorage.setItem(LEASE_KEY, JSON.stringify({ by: windowId, at: now }));
      lead();
    } else {
      follow();
    }
    const isDead = source?.readyState === EventSource.OPEN && now - receivedAt > SILENCE_MS;
    if (isLeader && isDead) openStream();
  }

  channel.onmessage = ({ data }) => {
    if (data.leads && data.leads !== windowId) follow();
    else if (data.asks && isLeader) broadcast({ state });
    else if (data.event && !isLeader) deliver(data.event);
    else if (data.state && !isLeader) setState(data.state);
  };

  function stop() {
    clearInterval(heartbeat);
    follow();
    if (readLease().by === windowId) localStorage.removeItem(LEASE_KEY);
    channel.close();
  }

  renewOrTakeLease();
  broadcast({ asks: windowId });
  const heartbeat = setInterval(renewOrTakeLease, HEARTBEAT_MS);
  addEventListener("pagehide", stop, { once: true });
  addEventListener("pageshow", (event) => event.persisted && location.reload());
  return stop;
}
