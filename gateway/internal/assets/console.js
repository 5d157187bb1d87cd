"use strict";
const KEPT = 120;
const WIDTH = 90;
const HEIGHT = 18;
const SVG = "http://www.w3.org/2000/svg";
const state = document.getElementById("state");
const tables = document.getElementById("tables");
const past = new Map();

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function remember(name, value) {
  const values = past.get(name) || [];
  values.push(value);
  if (values.length > KEPT) values.shift();
  past.set(name, values);
  return values;
}

function line(values) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const highest = Math.max(...values.map((value) => value ?? 0)) || 1;
  const begin = KEPT - values.length;
  let points = [];
  const draw = () => {
    if (points.length) {
      const part = document.createElementNS(SVG, "polyline");
      part.setAttribute("points", points.join(" "));
      svg.append(part);
    }
    points = [];
  };
  values.forEach((value, index) => {
    if (value === null) {
      draw(); // unknown is a gap
    } else {
      const x = ((begin + index) * WIDTH) / (KEPT - 1);
      points.push(`${x.toFixed(1)},${(HEIGHT - 1 - (value / highest) * (HEIGHT - 2)).toFixed(1)}`);
    }
  });
  draw();
  return svg;
}

function section(table) {
  const made = element("section", undefined, table.columns.length > 3 ? "wide" : "");
  const drawn = element("table");
  const head = drawn.createTHead().insertRow();
  head.append(element("th", table.title), ...table.columns.map((name) => element("th", name)));
  if (table.drawn) head.append(element("th"));
  for (const cell of head.cells) cell.scope = "col";
  const body = drawn.createTBody();
  for (const row of table.rows) {
    const shown = body.insertRow();
    const name = element("th", row.name);
    name.scope = "row";
    shown.append(name, ...row.figures.map((figure) => element("td", figure.text, figure.alarm ? "alarm" : "")));
    if (table.drawn) {
      shown.insertCell().append(line(remember(`${table.title}/${row.name}`, row.figures[0].value)));
    }
  }
  made.append(drawn);
  return made;
}

const events = new EventSource("/console/events");
events.onmessage = (event) => {
  const overview = JSON.parse(event.data);
  tables.replaceChildren(...overview.tables.map(section));
  state.textContent = `version ${overview.version}, live`;
  state.className = "";
};
events.onerror = () => {
  state.textContent =
    events.readyState === EventSource.CLOSED
      ? "The gateway refuses the events, perhaps since too many consoles are open: close one and reload."
      : "The gateway does not answer. What is shown is old.";
  state.className = "lost";
};
