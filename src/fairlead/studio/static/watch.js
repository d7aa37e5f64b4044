// Keeps a part of a page up to date without loading the page again.
//
//   <div data-refresh="/c/slug/figures" data-campaign="slug" data-after="42">     when something happens in the campaign
//   <div data-refresh="/runs/id/now" data-every="2000">                            every so many milliseconds while the page is seen
//
// Inside, each [data-part] is replaced when it has changed, and never while the focus is in it: nobody's button goes away under their finger.
// A form with `data-refreshes` asks at once when it is done.

import { watch } from "./live.js";

const LEAST_MS = 1000; // between two questions

for (const box of document.querySelectorAll("[data-refresh]")) keep(box);

const graph = document.querySelector(".lineage-box"); // wider than the screen, it shows what it is about
const focus = graph?.querySelector(".node.focus")?.getBoundingClientRect();
if (focus) graph.scrollLeft += focus.left + focus.width / 2 - graph.getBoundingClientRect().left - graph.clientWidth / 2;

function keep(box) {
  let mark = "";
  let asked = 0;
  let asking = false;
  let again = false;
  let timer = 0;
  let heard = 0; // number of the last event of this campaign

  async function refresh() {
    if (asking) {
      again = true;
      return;
    }
    asking = true;
    asked = Date.now();
    try {
      const answer = await fetch(box.dataset.refresh, { headers: mark ? { "If-None-Match": mark } : {} });
      if (answer.redirected || answer.status === 401) return location.reload(); // logged out
      if (answer.ok) {
        mark = answer.headers.get("ETag") || "";
        const { seq, skipped } = replace(box, await answer.text());
        if (skipped) mark = ""; // the next answer has it again
        if (seq < heard) later();
      }
      if (box.dataset.every) say(answer.ok || answer.status === 304 ? "live" : "lost");
    } catch {
      say("lost");
    } finally {
      asking = false;
      if (again) {
        again = false;
        soon();
      }
    }
  }

  function soon() {
    clearTimeout(timer);
    timer = setTimeout(refresh, Math.max(0, asked + LEAST_MS - Date.now()));
  }

  // The studio computes the figures of a busy campaign only now and then; what came in since is in the next ones.
  function later() {
    clearTimeout(timer);
    timer = setTimeout(refresh, 2 * LEAST_MS);
  }

  function say(state) {
    const place = document.getElementById("live-state");
    if (!place) return;
    place.dataset.state = state;
    place.firstElementChild.className = `dot ${{ live: "live", polling: "good", lost: "warn" }[state]}`;
    place.lastElementChild.textContent = { live: "Live", polling: "Every few seconds", lost: "No connection; trying again" }[state];
  }

  let state = "";
  box.addEventListener("done", (event) => {
    if (!("refreshes" in event.target.dataset)) return;
    event.target.closest("[data-part]")?.querySelector("[tabindex='-1']")?.focus();
    refresh();
  });
  box.addEventListener("parts", () => state && say(state));
  document.addEventListener("visibilitychange", () => document.hidden || soon());

  if (box.dataset.every) {
    setInterval(() => document.hidden || refresh(), Number(box.dataset.every));
  } else {
    watch({
      after: Number(box.dataset.after),
      onEvent: (event) => {
        if (event.campaign !== box.dataset.campaign) return;
        heard = event.seq;
        if (!document.hidden) soon();
      },
      onState: (next) => {
        say((state = next));
        if (next === "live") soon();
      },
    });
    setInterval(() => document.hidden || soon(), 60000); // rates fall by themselves while nothing happens
  }
}

function replace(box, text) {
  const fresh = new DOMParser().parseFromString(text, "text/html").body;
  const before = [...box.querySelectorAll(":scope > [data-part]")];
  const after = [...fresh.querySelectorAll(":scope > [data-part]")];
  const seq = Number(fresh.querySelector("[data-seq]")?.dataset.seq ?? Infinity); // of the last event that is in it
  let skipped = false;
  const names = (parts) => parts.map((part) => part.dataset.part).join(" ");
  if (names(before) !== names(after)) {
    skipped = box.contains(document.activeElement);
    if (!skipped) box.replaceChildren(...after.map((part) => document.adoptNode(part)));
  } else {
    before.forEach((old, place) => {
      if (old.dataset.was === after[place].innerHTML) return;
      if (old.contains(document.activeElement) && document.activeElement.matches("button, input, a")) {
        skipped = true;
        return;
      }
      const opened = [...old.querySelectorAll("details[open]")].map((one) => one.id);
      const across = [...old.querySelectorAll(".tablebox")].map((one) => one.scrollLeft);
      const was = after[place].innerHTML;
      const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
      old.replaceChildren(...[...after[place].childNodes].map((node) => document.adoptNode(node)));
      old.dataset.was = was;
      opened.forEach((id) => id && document.getElementById(id)?.setAttribute("open", ""));
      old.querySelectorAll(".tablebox").forEach((one, k) => (one.scrollLeft = across[k] || 0));
      if (focused) document.getElementById(focused)?.focus();
    });
  }
  box.dispatchEvent(new Event("parts"));
  return { seq, skipped };
}
