// Keeps parts of a page up to date without reloading the page.
//
//   <div data-refresh="/c/slug/figures" data-campaign="slug" data-after="42">   after events of the campaign
//   <div data-refresh="/runs/id/now" data-every="2000">                         every 2000 ms while visible
//
// The server sends the content of the box again.  Each [data-part] inside the box is replaced if it changed,
// but not while a control in it has the focus.  A form with `data-refreshes` refreshes its box when saved.

import { watchEvents } from "./events.js";

const MIN_INTERVAL_MS = 1000;
const IDLE_REFRESH_MS = 60_000; // rates fall even if nothing happens
const DOT_CLASSES = { live: "live", polling: "good", lost: "warn" };
const STATE_LABELS = { live: "Live", polling: "Updated every few seconds", lost: "Reconnecting" };

for (const box of document.querySelectorAll("[data-refresh]")) keepFresh(box);
centreLineageGraph();

function keepFresh(box) {
  let etag = "";
  let requestedAt = 0;
  let isRequesting = false;
  let requestAgain = false;
  let timer = 0;
  let lastEvent = 0; // sequence number of the last event of this campaign
  let state = "";

  async function refresh() {
    if (isRequesting) {
      requestAgain = true;
      return;
    }
    isRequesting = true;
    requestedAt = Date.now();
    try {
      const response = await fetch(box.dataset.refresh, { headers: etag ? { "If-None-Match": etag } : {} });
      if (response.redirected || response.status === 401) {
        location.reload(); // logged out
        return;
      }
      if (response.ok) {
        etag = response.headers.get("ETag") || "";
        const { seq, wasSkipped } = replaceParts(box, await response.text());
        if (wasSkipped) etag = ""; // the next response must contain the skipped part again
        if (seq < lastEvent) refreshLater();
      }
      if (box.dataset.every) drawState(response.ok || response.status === 304 ? "live" : "lost");
    } catch {
      drawState("lost");
    } finally {
      isRequesting = false;
      if (requestAgain) {
        requestAgain = false;
        refreshSoon();
      }
    }
  }

  function refreshSoon() {
    clearTimeout(timer);
    timer = setTimeout(refresh, Math.max(0, requestedAt + MIN_INTERVAL_MS - Date.now()));
  }

  // The server caches the figures of a busy campaign: the last events are in the next response.
  function refreshLater() {
    clearTimeout(timer);
    timer = setTimeout(refresh, 2 * MIN_INTERVAL_MS);
  }

  function drawState(newState) {
    const indicator = document.getElementById("live-state");
    if (!indicator) return;
    indicator.dataset.state = newState;
    indicator.firstElementChild.className = `dot ${DOT_CLASSES[newState]}`;
    indicator.lastElementChild.textContent = STATE_LABELS[newState];
  }

  box.addEventListener("done", (event) => {
    if (!("refreshes" in event.target.dataset)) return;
    event.target.closest("[data-part]")?.querySelector("[tabindex='-1']")?.focus();
    refresh();
  });
  box.addEventListener("parts", () => state && drawState(state));
  document.addEventListener("visibilitychange", () => document.hidden || refreshSoon());

  if (box.dataset.every) {
    setInterval(() => document.hidden || refresh(), Number(box.dataset.every));
    return;
  }
  watchEvents({
    after: Number(box.dataset.after),
    onEvent: (event) => {
      if (event.campaign !== box.dataset.campaign) return;
      lastEvent = event.seq;
      if (!document.hidden) refreshSoon();
    },
    onState: (newState) => {
      state = newState;
      drawState(state);
      if (state === "live") refreshSoon();
    },
  });
  setInterval(() => document.hidden || refreshSoon(), IDLE_REFRESH_MS);
}

// Returns the last event that the new content contains, and whether a part was skipped because of the focus.
function replaceParts(box, html) {
  const content = new DOMParser().parseFromString(html, "text/html").body;
  const oldParts = [...box.querySelectorAll(":scope > [data-part]")];
  const newParts = [...content.querySelectorAll(":scope > [data-part]")];
  const seq = Number(content.querySelector("[data-seq]")?.dataset.seq ?? Infinity);
  const names = (parts) => parts.map((part) => part.dataset.part).join(" ");
  let wasSkipped = false;
  if (names(oldParts) !== names(newParts)) {
    wasSkipped = box.contains(document.activeElement);
    if (!wasSkipped) box.replaceChildren(...newParts.map((part) => document.adoptNode(part)));
  } else {
    oldParts.forEach((oldPart, n) => {
      if (!replacePart(oldPart, newParts[n])) wasSkipped = true;
    });
  }
  box.dispatchEvent(new Event("parts"));
  return { seq, wasSkipped };
}

// Keeps open details, horizontal scroll positions and the focus.  While a control in the part has the focus,
// replaces nothing and returns false.
function replacePart(oldPart, newPart) {
  const html = newPart.innerHTML;
  if (oldPart.dataset.was === html) return true;
  const focused = oldPart.contains(document.activeElement) ? document.activeElement : null;
  if (focused?.matches("button, input, a")) return false;
  const openIds = [...oldPart.querySelectorAll("details[open]")].map((details) => details.id);
  const scrollPositions = [...oldPart.querySelectorAll(".tablebox")].map((table) => table.scrollLeft);
  oldPart.replaceChildren(...[...newPart.childNodes].map((node) => document.adoptNode(node)));
  oldPart.dataset.was = html;
  for (const id of openIds) if (id) document.getElementById(id)?.setAttribute("open", "");
  oldPart.querySelectorAll(".tablebox").forEach((table, n) => (table.scrollLeft = scrollPositions[n] || 0));
  if (focused?.id) document.getElementById(focused.id)?.focus();
  return true;
}

// A lineage graph wider than the screen starts at the artifact of the page.
function centreLineageGraph() {
  const graph = document.querySelector(".lineage-box");
  const node = graph?.querySelector(".node.focus")?.getBoundingClientRect();
  if (!node) return;
  const offset = node.left + node.width / 2 - graph.getBoundingClientRect().left;
  graph.scrollLeft += offset - graph.clientWidth / 2;
}
