
"use strict";
const form = document.querySelector("form");
const list = document.querySelector(".photos");
const collator = new Intl.Collator(undefined, { numeric: true });
const number = (text) => (text ? Number(text) : NaN);
const photos = [...list.children].map((card) => {
  const marks = card.querySelectorAll("g");
  const rows = [...card.querySelectorAll(".rows > li")].map((item, at) => ({
    shown: [item, marks[at]].filter(Boolean),
    data: item.dataset,
    age: number(item.dataset.age),
    interval: number(item.dataset.interval),
    quality: number(item.dataset.quality),
  }));
  return { card, rows, name: card.dataset.name.toLowerCase() };
});

// A row is wanted if all that is asked for holds of it; a photograph, if any of its rows is.
function wanted(row, asked) {
  const from = number(asked.from), to = number(asked.to);
  return (!asked.status || row.data.status === asked.status)
    && (Number.isNaN(from) || row.age >= from)
    && (Number.isNaN(to) || row.age <= to)
    && Object.keys(asked).every((key) => !key.startsWith("task") || !asked[key] || row.data[key] === asked[key]);
}

// By the least or the greatest value of the rows that are wanted; photographs without any come last.
function ordered(found, sort) {
  if (sort === "name") return [...found].sort((a, b) => collator.compare(a.name, b.name));
  const [what, way] = sort.split(" ");
  if (!what) return found;
  const sign = way === "down" ? -1 : 1;
  const value = (photo) => Math.min(...photo.rows.filter((row) => row.wanted && !Number.isNaN(row[what])).map((row) => sign * row[what]));
  const values = new Map(found.map((photo) => [photo, value(photo)]));
  return [...found].sort((a, b) => (values.get(a) < values.get(b) ? -1 : values.get(a) > values.get(b) ? 1 : 0));
}

function show() {
  const asked = Object.fromEntries(new FormData(form));
  const name = asked.name.toLowerCase();
  let faces = 0;
  for (const photo of photos) {
    for (const row of photo.rows) {
      row.wanted = wanted(row, asked);
      for (const element of row.shown) element.classList.toggle("off", !row.wanted);
    }
    const rows = photo.rows.filter((row) => row.wanted);
    photo.card.hidden = !rows.length || !photo.name.includes(name);
    if (!photo.card.hidden) faces += rows.filter((row) => row.data.status === "ok").length;
  }
  list.append(...ordered(photos, asked.sort).map((photo) => photo.card));
  const shown = photos.filter((photo) => !photo.card.hidden).length;
  form.querySelector("output").textContent = `${faces} ${faces === 1 ? "face" : "faces"} in ${shown} of ${photos.length}`;
}

let waiting = 0;
const soon = () => { cancelAnimationFrame(waiting); waiting = requestAnimationFrame(show); };
form.addEventListener("input", soon);
form.addEventListener("reset", () => setTimeout(soon));
form.addEventListener("submit", (event) => event.preventDefault());
form.hidden = false;
show();
