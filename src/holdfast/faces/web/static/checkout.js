// The checkout's small comforts: live status, countdown, copy buttons. The page says everything without them.
"use strict";

const live = document.getElementById("live");
const said = document.getElementById("said");

const openUntil = () => {
  const clock = document.getElementById("clock");
  return clock === null ? null : { clock, until: Number(clock.dataset.until), from: Number(clock.dataset.from) };
};

const tick = () => {
  const open = openUntil();
  if (open === null) return;
  const left = Math.max(0, open.until - Date.now());
  const seconds = Math.ceil(left / 1000);
  const two = (number) => String(number).padStart(2, "0");
  const hours = Math.floor(seconds / 3600);
  const text = `${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  open.clock.textContent = hours > 0 ? `${hours}:${text}` : text;
  document.getElementById("bar").value = Math.min(1, left / Math.max(1, open.until - open.from));
};

const say = () => {
  const news = live.querySelector("[data-say]");
  if (news !== null) said.textContent = news.dataset.say;
};

const show = (html) => {
  const focused = document.activeElement;
  const name = live.contains(focused) ? focused.id || focused.dataset.copy : null;
  live.innerHTML = html;
  if (name) {
    const again = document.getElementById(name) || live.querySelector(`[data-copy="${CSS.escape(name)}"]`);
    if (again !== null) again.focus();
  }
  tick();
  say();
};

const copied = async (button) => {
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
  } catch {
    const output = button.parentElement.querySelector("output");
    getSelection().selectAllChildren(output);
    said.textContent = "Selected. Copy it with your keyboard.";
    return;
  }
  button.textContent = "Copied";
  button.classList.add("done");
  said.textContent = "Copied";
  setTimeout(() => {
    button.textContent = "Copy";
    button.classList.remove("done");
  }, 1800);
};

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button !== null) copied(button);
});

if (live !== null) {
  const source = new EventSource(live.dataset.live);
  source.addEventListener("view", (event) => show(event.data));
  source.addEventListener("end", () => source.close());
  setInterval(tick, 250);
  tick();
}
