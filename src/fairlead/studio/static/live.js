// What happens in the studio, as it happens.  One window of a browser holds the connection and tells the others; when it closes, another
// one takes over.  Where no connection can be held, events are asked for every few seconds.
//
//   const stop = watch({ after: 42, onEvent: (event) => …, onState: (state) => … });      state: "live", "polling" or "lost"
//
// Events of all campaigns that this person may see come in; `event.campaign` says of which.

const LEASE = "fairlead-live";
const LEASE_MS = 6000; // after which a window that said nothing no longer leads
const BEAT_MS = 2000;
const SILENT_MS = 40000; // the server says something every 15 seconds
const POLL_MS = 4000;
const URL_STREAM = "/api/v1/events";
const URL_LIST = "/api/v1/events/list";

export function watch({ after, onEvent, onState = () => {} }) {
  const me = crypto.getRandomValues(new Uint32Array(2)).join("-");
  const channel = new BroadcastChannel(LEASE);
  let place = after;
  let leads = false;
  let source = null;
  let failures = 0;
  let polling = 0;
  let heardAt = Date.now();
  let state = "";

  const show = (next) => {
    if (next !== state) onState((state = next));
  };

  const take = (event) => {
    if (event.seq <= place) return; // heard already, from another window or before the page was made
    place = event.seq;
    onEvent(event);
  };

  const tell = (message) => channel.postMessage(message);

  function open() {
    close();
    source = new EventSource(`${URL_STREAM}?after=${place}`);
    source.onopen = () => {
      failures = 0;
      heardAt = Date.now();
      stopPolling();
      show("live");
      tell({ state: "live" });
    };
    source.onmessage = (message) => {
      heardAt = Date.now();
      const event = JSON.parse(message.data);
      take(event);
      tell({ event });
    };
    source.onerror = () => {
      failures += 1;
      // A refusal closes it for good; a line that was cut is opened again by the browser.
      if (source.readyState === EventSource.CLOSED || failures > 3) {
        close();
        startPolling();
      } else {
        show("lost");
        tell({ state: "lost" });
      }
    };
  }

  function close() {
    source?.close();
    source = null;
  }

  async function poll() {
    try {
      const answer = await fetch(`${URL_LIST}?after=${place}&limit=200`, { headers: { Accept: "application/json" } });
      if (answer.status === 401) return location.reload();
      if (!answer.ok) throw new Error(answer.status);
      const said = await answer.json();
      for (const event of said.events) {
        take(event);
        tell({ event });
      }
      place = Math.max(place, said.last);
      show("polling");
      tell({ state: "polling" });
    } catch {
      show("lost");
      tell({ state: "lost" });
    }
  }

  function startPolling() {
    clearTimeout(retry);
    retry = setTimeout(() => leads && open(), 60000); // perhaps a connection can be held again
    if (polling) return;
    poll();
    polling = setInterval(poll, POLL_MS);
  }

  let retry = 0;
  function stopPolling() {
    clearInterval(polling);
    clearTimeout(retry);
    polling = retry = 0;
  }

  function lead() {
    if (leads) return;
    leads = true;
    tell({ leads: me });
    open();
  }

  function follow() {
    if (!leads) return;
    leads = false;
    close();
    stopPolling();
  }

  function held() {
    try {
      return JSON.parse(localStorage.getItem(LEASE)) || {};
    } catch {
      return {};
    }
  }

  function beat() {
    const now = Date.now();
    const lease = held();
    if (lease.by === me || !(now - lease.at < LEASE_MS)) {
      localStorage.setItem(LEASE, JSON.stringify({ by: me, at: now }));
      lead();
    } else {
      follow();
    }
    if (leads && source && now - heardAt > SILENT_MS && source.readyState === EventSource.OPEN) open(); // a line that is dead and does not say so
  }

  channel.onmessage = ({ data }) => {
    if (data.leads && data.leads !== me) follow();
    else if (data.asks && leads) tell({ state });
    else if (data.event && !leads) take(data.event);
    else if (data.state && !leads) show(data.state);
  };

  function stop() {
    clearInterval(beating);
    follow();
    if (held().by === me) localStorage.removeItem(LEASE);
    channel.close();
  }

  beat();
  tell({ asks: me });
  const beating = setInterval(beat, BEAT_MS);
  addEventListener("pagehide", stop, { once: true });
  addEventListener("pageshow", (event) => event.persisted && location.reload());
  return stop;
}
