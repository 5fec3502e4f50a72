// Times in the viewer's zone, buttons that copy, forms that are sent once. Every page works without it.
"use strict";

(() => {
  const root = document.documentElement;
  root.classList.add("script");

  const locale = navigator.languages.find((language) => language.split("-")[0] === root.lang) ?? root.lang;
  const shown = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" });

  // Shows every <time> below `within` in the viewer's zone; UTC stays in its title.
  function moments(within) {
    for (const time of within.querySelectorAll("time[datetime]")) {
      const instant = new Date(time.dateTime);
      if (!Number.isNaN(instant.getTime())) time.textContent = shown.format(instant);
    }
  }

  async function copy(button) {
    const text = button.closest(".command").querySelector("code").textContent;
    await navigator.clipboard.writeText(text);
    const label = button.firstChild.textContent;
    button.firstChild.textContent = document.body.dataset.copied;
    setTimeout(() => { button.firstChild.textContent = label; }, 2000);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) copy(button).catch(() => getSelection().selectAllChildren(button.closest(".command").querySelector("code")));
  });

  // A form marked data-once is sent once: a second click, or Enter held down, does nothing.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("form[data-once]")) return;
    if (form.dataset.sent) { event.preventDefault(); return; }
    form.dataset.sent = "yes";
    const pressed = event.submitter;
    if (pressed) { pressed.setAttribute("aria-disabled", "true"); pressed.dataset.label = pressed.textContent; pressed.textContent = document.body.dataset.working; }
  });

  // Back from another page by the browser's own memory of it: what was sent may be sent again.
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
    for (const pressed of document.querySelectorAll("[data-label]")) {
      pressed.textContent = pressed.dataset.label;
      pressed.removeAttribute("aria-disabled");
    }
  });

  moments(document);
  document.querySelector(".tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  const focus = document.querySelector("[data-focus]");
  if (focus) focus.focus();

  window.busyline = Object.freeze({ moments });
})();
