// The page. Where frames come from is `connect`'s affair: live.js asks Python, dream.js dreams by itself.
"use strict";

const SIDE = 64, PICTURE = SIDE * SIDE * 3, NOTCHES = 20; // of a slider, between 0 and 1
const ARROWS = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", " ": "space" };
const get = (id) => document.getElementById(id);
const held = new Set(); // in the order in which they were pressed
const shownAt = []; // times of the frames of the last second
let task = null, start, seed, paused = false, ended = "", send = () => {};

function greet(facts) {
  task = facts;
  document.title = `A dream of ${facts.name}`;
  get("name").textContent = facts.name.replaceAll("_", " ");
  get("keys").replaceChildren(...facts.keys.map(legend));
  get("keys").classList.toggle("many", facts.keys.length > 3);
  for (const [name, there] of [["agent", facts.agent], ["task", facts.task], ["ends", facts.ends]]) {
    get(`${name}-label`).hidden = !there;
  }
  // As a session begins, whatever the browser has kept of the page before.
  get("agent").checked = get("play-task").checked = false;
  get("ends").checked = facts.ends;
  slider("temperature", facts.temperature, facts.coldest, facts.hottest, exact);
  slider("speed", 1, facts.slowest, 1, (value) => `${Math.round(value * facts.fps)} / s`);
  get("starts").replaceChildren(...facts.starts.map(thumbnail));
  get("seed").max = facts.largest_seed;
  begin(0, facts.seed);
  pause(false);
}

function legend(key) {
  const entry = document.createElement("span"), cap = document.createElement("kbd");
  cap.textContent = ARROWS[key.key] ?? key.key.toUpperCase();
  cap.dataset.key = key.key;
  // A finger or the mouse holds it as a keyboard does.
  cap.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    cap.setPointerCapture(event.pointerId);
    hold(() => held.add(key.key));
  });
  for (const let_go of ["pointerup", "pointercancel"]) cap.addEventListener(let_go, () => hold(() => held.delete(key.key)));
  entry.append(cap, key.label);
  return entry;
}

function thumbnail(picture, number) {
  const button = document.createElement("button"), image = document.createElement("img");
  image.src = picture;
  image.alt = `first frame ${number + 1}`;
  button.append(image);
  button.addEventListener("click", () => begin(number, seed));
  return button;
}

// It begins at any value, and moves to whole notches.
function slider(name, value, low, high, words) {
  const input = get(name), tell = () => { get(`${name}-value`).textContent = words(input.valueAsNumber); };
  const move = (notches) => {
    input.value = Math.round(notches) / NOTCHES;
    tell();
    send({ [name]: input.valueAsNumber });
  };
  Object.assign(input, { min: low, max: high, value });
  input.oninput = () => move(input.valueAsNumber * NOTCHES);
  input.onkeydown = (event) => {
    const way = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (!way) return;
    event.preventDefault();
    move(input.valueAsNumber * NOTCHES + way);
  };
  tell();
}

const exact = (value) => value.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 4 });

function begin(number, chosen) {
  start = number;
  seed = Math.min(Math.max(Math.round(chosen) || 0, 0), task.largest_seed);
  get("seed").value = seed;
  [...get("starts").children].forEach((each, i) => each.setAttribute("aria-pressed", i === start));
  send({ begin: [start, seed] });
}

function pause(wanted) {
  paused = wanted;
  get("pause").textContent = paused ? "Go on" : "Pause";
  get("state").textContent = ended || (paused ? "paused" : "");
  send({ pause: paused || document.hidden });
}

function show(facts, pixels) {
  ["dream", "seen", "task"].forEach((name, i) => draw(get(name), pixels, i * PICTURE));
  tell("dream", facts.dream);
  tell("task", facts.task);
  get("seen-facts").textContent = facts.task ? "of the frame beside it, from μ" : "of the first frame, from μ";
  get("task-title").textContent = facts.task ? "The real task" : "The real first frame";
  if (!facts.task) get("task-facts").textContent = task.task ? "of the task, which is switched off" : "";
  get("action").textContent = `action ${facts.action.map((x) => x.toFixed(1).replace("-", "−")).join(" ")}`;
  const now = performance.now();
  shownAt.push(now);
  while (shownAt[0] <= now - 1000) shownAt.shift();
  get("rate").textContent = `${shownAt.length} frames/s`;
}

function draw(canvas, pixels, from) {
  const picture = new ImageData(SIDE, SIDE), data = picture.data;
  for (let i = 0, j = from; i < data.length; i += 4) {
    data[i] = pixels[j++];
    data[i + 1] = pixels[j++];
    data[i + 2] = pixels[j++];
    data[i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

function tell(name, world) {
  get(`${name}-over`).hidden = !world?.over;
  if (!world) return;
  get(`${name}-over`).textContent = `over after ${world.step} steps`;
  const facts = [`step ${world.step}`];
  if (world.reward !== null) facts.push(`reward ${figure(world.reward, 2)}`, `return ${figure(world.total, 1)}`);
  if (world.end !== null) facts.push(`end ${(100 * world.end).toFixed(1)} %`);
  get(`${name}-facts`).textContent = facts.join("   ");
}

const figure = (x, digits) => x.toFixed(digits).replace("-", "−");

// A letter or digit whatever Shift and the layout's digit row say, else the key's own name.
const named = (event) =>
  /^Digit\d$/.test(event.code) ? event.code[5] : event.key.length === 1 ? event.key.toLowerCase() : event.key;

function press(event) {
  const key = named(event), field = event.target.closest?.("input, button");
  if (event.ctrlKey || event.metaKey || event.altKey || !task) return;
  if (field && key === "Escape") field.blur();
  if (field && field.type !== "checkbox" && key !== "Escape") return; // it is meant for the field
  const known = task.keys.some((each) => each.key === key);
  if (known || key === "Enter" || key === "Escape") event.preventDefault();
  if (event.repeat) return;
  if (key === "Enter") begin(start, seed + 1);
  if (key === "Escape") pause(!paused);
  if (known) hold(() => held.add(key));
}

function hold(change) {
  change();
  for (const cap of document.querySelectorAll("kbd[data-key]")) cap.classList.toggle("down", held.has(cap.dataset.key));
  send({ keys: [...held] });
}

addEventListener("keydown", press);
addEventListener("keyup", (event) => held.has(named(event)) && hold(() => held.delete(named(event))));
addEventListener("blur", () => held.size && hold(() => held.clear()));
document.addEventListener("visibilitychange", () => pause(paused));
// What was clicked gives the keys back.
document.addEventListener("pointerup", () => setTimeout(() => document.activeElement?.matches("button, [type=range]") && document.activeElement.blur()));
for (const name of ["agent", "ends"]) get(name).addEventListener("change", () => send({ [name]: get(name).checked }));
get("play-task").addEventListener("change", () => {
  send({ task: get("play-task").checked });
  begin(start, seed);
});
get("over-again").addEventListener("click", () => begin(start, (seed + 1) % (task.largest_seed + 1)));
get("pause").addEventListener("click", () => pause(!paused));
get("seed").addEventListener("change", () => begin(start, get("seed").valueAsNumber));
send = connect(greet, show, (why) => {
  get("state").textContent = ended = why;
  get("rate").textContent = "";
});
