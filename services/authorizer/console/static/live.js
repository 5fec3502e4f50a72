// Keeps what changes by itself up to date: the figures of status, and how far a disconnection is. Without it those pages
// load themselves again now and then.
//
// An element with data-live names a stream of server-sent events. Each event `standing` brings {phase, mark, percent,
// figures}: texts go where data-live-text names them, instants where data-live-time does. Another mark means that parts of
// the page (data-live-part) have changed: they are fetched again. Another phase is another page.
"use strict";

(() => {
  const root = document.querySelector("[data-live]");
  if (!root || !window.EventSource) return;

  const PAUSE = 3000; // milliseconds between two fetches of the page
  const STEP = 10; // per cent between two announcements
  const READ = 6000; // milliseconds that a notice stays, which is shown once, before another phase takes its place
  let announced = -STEP;
  let mark = root.dataset.liveMark;
  let fetching = false;

  function put(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  function show(told) {
    for (const element of root.querySelectorAll("[data-live-text]")) {
      const text = told.figures[element.dataset.liveText];
      if (text !== undefined) put(element, text);
    }
    for (const element of root.querySelectorAll("[data-live-time]")) showTime(element, told.figures[element.dataset.liveTime]);
    const bar = root.querySelector("progress");
    if (bar && told.percent !== undefined && bar.max === 100) bar.value = told.percent;
    announce(told);
  }

  function showTime(element, instant) {
    if (!instant) { put(element, element.dataset.liveMissing || ""); return; }
    const present = element.querySelector("time");
    if (present && present.dateTime === instant) return;
    const time = document.createElement("time");
    time.dateTime = instant;
    time.title = instant.replace("T", " ").replace("Z", " UTC");
    time.textContent = time.title;
    element.replaceChildren(time);
    if (window.busyline) window.busyline.moments(element);
  }

  // Screen readers hear of every tenth part, not of every second.
  function announce(told) {
    const place = root.querySelector("[data-live-say]");
    if (!place || told.percent === undefined || told.percent < announced + STEP) return;
    announced = told.percent - (told.percent % STEP);
    put(place, told.figures.percent || "");
  }

  function again() {
    const left = document.querySelector("main > .notice") ? READ - performance.now() : 0;
    setTimeout(() => location.reload(), Math.max(0, left));
  }

  // Fetches this page and takes over its changed parts, but for one that holds the focus.
  async function renew(newest) {
    if (fetching) return;
    fetching = true;
    try {
      // asked for like the stream: what a page does by itself keeps nobody signed in
      const answer = await fetch(location.href, { headers: { Accept: "text/html, text/event-stream" }, redirect: "manual" });
      if (!answer.ok) { location.reload(); return; }
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of root.querySelectorAll("[data-live-part]")) {
        const fresh = page.querySelector(`[data-live-part="${CSS.escape(part.dataset.livePart)}"]`);
        if (!fresh || part.contains(document.activeElement) || part.innerHTML === fresh.innerHTML) continue;
        part.replaceChildren(...document.importNode(fresh, true).childNodes);
        if (window.busyline) window.busyline.moments(part);
      }
      mark = newest;
    } catch {
      // the next event tries again
    } finally {
      setTimeout(() => { fetching = false; }, PAUSE);
    }
  }

  const source = new EventSource(root.dataset.live);
  source.addEventListener("standing", (event) => {
    const told = JSON.parse(event.data);
    if (told.phase !== root.dataset.livePhase) { source.close(); again(); return; }
    show(told);
    if (told.mark !== mark) renew(told.mark);
  });
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
})();
