// Shows a test of a connection step by step. Without it the page loads itself again until the test has ended.
//
// An element with data-trial names a stream of server-sent events: `part` brings the steps so far and what can be done,
// as the page has them, in a JSON string; `end` is the last.
"use strict";

(() => {
  const root = document.querySelector("[data-trial]");
  if (!root || !window.EventSource) return;

  const AGAIN = 3000; // milliseconds until the page is loaded anew where the stream broke
  const source = new EventSource(root.dataset.trial);

  // Steps are appended, so that a screen reader hears each once.
  function show(part) {
    const page = new DOMParser().parseFromString(part, "text/html");
    const list = root.querySelector("[data-trial-steps]");
    const steps = page.querySelectorAll("[data-trial-steps] > li");
    for (const step of [...steps].slice(list.children.length)) list.append(document.importNode(step, true));
    const outcome = root.querySelector("[data-trial-outcome]");
    const fresh = page.querySelector("[data-trial-outcome]");
    if (outcome.innerHTML !== fresh.innerHTML) outcome.replaceChildren(...document.importNode(fresh, true).childNodes);
  }

  source.addEventListener("part", (event) => show(JSON.parse(event.data)));
  source.addEventListener("end", () => source.close());
  source.addEventListener("error", () => {
    source.close();
    setTimeout(() => location.reload(), AGAIN);
  });
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
})();
