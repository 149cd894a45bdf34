// Keeps a page up to date: the page itself, asked for as server-sent events, says what changed in its lists.
"use strict";
(() => {
  const state = document.getElementById("live-state");
  const pause = document.getElementById("live-pause");
  if (!state || !pause || !window.EventSource) return;

  let source = null;
  let paused = false;

  const say = (text) => {
    if (state.textContent !== text) state.textContent = text;
  };

  // Only what is new is made anew, so that a reader keeps its place and a link its focus.
  const update = (change) => {
    const list = document.getElementById(change.id);
    if (!list) return;
    const items = new Map();
    for (const item of list.children) items.set(item.dataset.key, item);
    for (const [key, html] of change.items) {
      let item = items.get(key);
      if (!item) {
        item = document.createElement(list.dataset.live);
        item.dataset.key = key;
        items.set(key, item);
      }
      const links = () => Array.from(item.querySelectorAll("a, [tabindex]"));
      const focused = links().indexOf(document.activeElement);
      item.innerHTML = html;
      if (focused >= 0) links()[focused]?.focus({ preventScroll: true });
    }
    if (!change.order) return;
    const wanted = new Set(change.order);
    for (const [key, item] of items) if (!wanted.has(key)) item.remove();
    let place = list.firstElementChild;
    for (const key of change.order) {
      const item = items.get(key);
      if (!item) continue;
      if (item === place) place = place.nextElementSibling;
      else list.insertBefore(item, place);
    }
  };

  const close = () => {
    if (source) source.close();
    source = null;
  };

  const open = () => {
    if (source || paused || document.hidden) return;
    source = new EventSource(location.pathname + location.search);
    source.addEventListener("build", (event) => {
      if (event.data === document.body.dataset.build) return say("live");
      // Two gateways of two builds may answer in turns: loading the page again helps once, or not at all.
      const isLoaded = Date.now() - Number(sessionStorage.getItem("loaded")) < 60_000;
      sessionStorage.setItem("loaded", Date.now());
      if (!isLoaded) return location.reload();
      close();
      say("not live: another build answers");
    });
    source.addEventListener("lists", (event) => JSON.parse(event.data).forEach(update));
    source.addEventListener("ended", () => {
      close();
      say("you are signed out");
    });
    source.addEventListener("error", () => {
      // A browser asks again by itself, unless it was refused.
      if (source && source.readyState === EventSource.CLOSED) {
        close();
        say("not live: load the page again");
      } else {
        say("connection lost, trying again");
      }
    });
  };

  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.textContent = paused ? "Resume" : "Pause";
    if (paused) {
      close();
      say("paused");
    } else {
      open();
    }
  });
  // Nothing is sent to a tab that nobody sees.
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", open);
  open();
})();
